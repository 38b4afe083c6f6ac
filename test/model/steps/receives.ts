/** Steps that receive. */

import type { Outcome } from '../real/hands.js';
import { Attempt } from '../rules/call.js';
import { Connection } from '../rules/connection.js';
import { Credentials } from '../rules/credentials.js';
import type { Sending } from '../rules/descriptor.js';
import { type Expected, isCertain } from '../rules/expected.js';
import type { Model, Receiver } from '../rules/model.js';
import type { Wait } from '../rules/wait.js';
import type { World } from '../world.js';
import { laneOf, laneOfCredentials, laneOfFile, laneOfPipe, laneOfSending, pick, Step } from './step.js';

export interface ReceiveChoices {
  readonly receiver: number;
  readonly sending: number;
  /** Also what did not come to that receiver. */
  readonly any: boolean;
  readonly by: 'ref' | 'url';
  readonly keep: boolean;
  readonly asFile: boolean;
  readonly atOnce: boolean;
}

function receivers(model: Model): Receiver[] {
  return [
    ...model.running.map(({ attempt }) => attempt),
    ...model.credentials.filter(({ client, collected }) => client !== undefined && !collected),
    ...model.clients.flatMap(({ peers, connection }) =>
      peers === 'URL client' && connection?.open ? [connection] : [],
    ),
  ];
}

/** Where something came that may be there, and that can be received. */
function likely(all: readonly Receiver[]): readonly Receiver[] {
  const found = all.filter((each) => !(each instanceof Credentials && each.closed) && near(each).length > 0);
  return found.length > 0 ? found : all;
}

/** What came to that receiver. */
function near(receiver: Receiver): Sending[] {
  if (receiver instanceof Attempt) {
    const { entries, connection } = receiver;
    const idle = connection.server.copies.filter(({ attempt }) => attempt === undefined);
    return [...entries.map(({ sending }) => sending), ...idle.map(({ sending }) => sending)];
  }
  const ends = receiver instanceof Connection ? [receiver] : [...receiver.connections];
  return ends.flatMap(({ atClient }) => atClient.copies.map(({ sending }) => sending));
}

function describe(receiver: Receiver): string {
  if (receiver instanceof Attempt) {
    const { call, number } = receiver;
    return number === 1
      ? `the handler of call ${call.id}`
      : `the handler of attempt ${number} of call ${call.id}`;
  }
  return receiver instanceof Connection
    ? `the connection of client ${receiver.client.index}`
    : `credentials ${receiver.id}`;
}

function laneOfReceiver(receiver: Receiver): string {
  if (receiver instanceof Attempt) return laneOf(receiver.call);
  return receiver instanceof Connection ? 'connection' : laneOfCredentials(receiver);
}

/** It knows names by inode only, waits for nothing, and says nothing of what it has let go of. */
function isGoLike(receiver: Receiver): receiver is Attempt | Connection {
  if (receiver instanceof Connection) return true;
  return receiver instanceof Attempt && receiver.call.client.peers === 'URL server';
}

export class Receive extends Step {
  constructor(readonly choices: ReceiveChoices) {
    super(choices.atOnce);
  }

  protected isPossible(model: Model): boolean {
    return model.sendings.length > 0 && receivers(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const { choices } = this;
    const all = receivers(model);
    const receiver = pick(choices.any ? all : likely(all), choices.receiver) as Receiver;
    const list = near(receiver);
    const sending = pick(choices.any || list.length === 0 ? model.sendings : list, choices.sending);
    if (sending === undefined) return;
    const by = sending.exact && !isGoLike(receiver) ? choices.by : 'url';
    if (by === 'url' && sending.refused) return;
    let expected = by === 'ref' ? model.byRef(receiver, sending) : model.byUrl(receiver, sending.pipe);
    if (isGoLike(receiver) && (!isCertain(expected) || expected.gives.length === 0)) return;
    const certain = isCertain(expected);
    if (!certain) {
      await world.settle();
      expected = by === 'ref' ? model.byRef(receiver, sending) : model.byUrl(receiver, sending.pipe);
    }
    const file = model.nextFile();
    const moves = by === 'ref' && !choices.keep;
    const text = `${describe(receiver)} receives descriptor ${sending.id} by ${by}${choices.keep ? ', to keep' : ''} as file ${file}`;
    world.count(`receives by ${by}${by === 'ref' && choices.keep ? ', to keep' : ''}`);
    const asFile = choices.asFile && !isGoLike(receiver);
    const now = expected;
    const change = (outcome?: Outcome) => {
      const waits = outcome === undefined ? now.mayWait : outcome.kind === 'waits';
      const gives = outcome === undefined ? now.gives.length > 0 : outcome.kind === 'received';
      if (gives) model.receive(now.gives, file, { moves, asFile });
      else if (waits && !isGoLike(receiver)) model.wait(receiver, sending.pipe, file, asFile);
    };
    if (by === 'ref') model.choose(receiver, sending);
    if (certain) change();
    const exclusive = by === 'url' ? laneOfPipe(sending.pipe) : laneOfSending(sending);
    const touched = {
      alone: [laneOfReceiver(receiver), exclusive, laneOfFile(file)],
      shared: [laneOfPipe(sending.pipe)],
    };
    world.do(text, touched, async () => {
      const what = { file, name: world.nameOf(sending, by), keep: choices.keep, asFile };
      const outcome =
        receiver instanceof Attempt
          ? await world.server(receiver.call.client).receive(world.attemptId(receiver), what)
          : await world.clients.hands.receive(
              world.clients.transceiver(receiver instanceof Connection ? receiver.client : receiver),
              what,
            );
      world.compare.one(text, outcome, now, file);
      if (!certain) change(outcome);
    });
    if (!certain) await world.settle();
  }
}

export interface SeveralChoices {
  readonly receiver: number;
  readonly sendings: readonly { readonly sending: number; readonly by: 'ref' | 'url' }[];
  readonly keep: boolean;
  readonly any: boolean;
  readonly atOnce: boolean;
}

/** `recvFiles`: all or none, and at once where a name is bad. */
export class ReceiveSeveral extends Step {
  constructor(readonly choices: SeveralChoices) {
    super(choices.atOnce);
  }

  protected isPossible(model: Model): boolean {
    return model.sendings.length > 0 && this.#receivers(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const { keep, any, sendings: picks } = this.choices;
    const all = this.#receivers(model);
    const receiver = pick(any ? all : likely(all), this.choices.receiver) as Receiver;
    const list = near(receiver);
    const names = picks.flatMap(({ sending: choice, by }) => {
      const sending = pick(any || list.length === 0 ? model.sendings : list, choice);
      if (sending === undefined || !sending.exact) return [];
      const expected =
        by === 'ref' || sending.refused
          ? model.byRef(receiver, sending)
          : model.byUrl(receiver, sending.pipe);
      return isCertain(expected) ? [{ sending, by: sending.refused ? ('ref' as const) : by, expected }] : [];
    });
    const bad = names.filter(({ by, expected }) => by === 'ref' && expected.fails.length > 0);
    // Where all refs are good, a URL must give something, too: it could wait, or fail after the others were handed over.
    const used = bad.length > 0 ? names : names.filter(({ expected }) => expected.gives.length > 0);
    if (used.length === 0) return;
    const first = model.nextFile();
    for (let index = 1; index < used.length; index++) model.nextFile();
    const isLast = (index: number) =>
      used.findLastIndex(({ sending, by }) => by === used[index]?.by && sending === used[index]?.sending) ===
      index;
    for (const { sending, by } of used) if (by === 'ref') model.choose(receiver, sending);
    if (bad.length === 0) {
      used.forEach(({ by, expected }, index) => {
        const moves = by === 'ref' && !keep && isLast(index);
        model.receive(expected.gives, first + index, { moves, asFile: true });
      });
    }
    const text = `${describe(receiver)} receives several: ${used.map(({ sending, by }) => `${sending.id} by ${by}`).join(', ')}${keep ? ', to keep' : ''}`;
    world.count('receives of several');
    const alone = [
      laneOfReceiver(receiver),
      ...used.flatMap(({ sending }) => [laneOfSending(sending), laneOfPipe(sending.pipe)]),
      ...used.map((_, index) => laneOfFile(first + index)),
    ];
    world.do(text, { alone }, async () => {
      const byName = used.map(({ sending, by }) => world.nameOf(sending, by));
      const what = { file: first, keep };
      const outcome =
        receiver instanceof Attempt
          ? await world.server(receiver.call.client).receiveSeveral(world.attemptId(receiver), byName, what)
          : await world.clients.hands.receiveSeveral(
              world.clients.credentials(receiver as Credentials),
              byName,
              what,
            );
      if (bad.length > 0) {
        world.compare.one(text, outcome, firstOf(bad.map(({ expected }) => expected)), first);
        return;
      }
      used.forEach(({ expected }, index) => {
        world.compare.one(text, outcome, expected, first + index);
      });
    });
  }

  #receivers(model: Model): Receiver[] {
    return receivers(model).filter((each) => !isGoLike(each));
  }
}

function firstOf(expected: readonly Expected[]): Expected {
  return { gives: [], fails: expected.flatMap(({ fails }) => fails), mayWait: false };
}

/** `received()`: what was attached, in order, but for what was received by name. */
export class ReceiveAll extends Step {
  constructor(readonly choices: { readonly call: number; readonly atOnce: boolean }) {
    super(choices.atOnce);
  }

  protected isPossible(model: Model): boolean {
    return candidates(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const attempt = pick(candidates(model), this.choices.call) as Attempt;
    const expected = model.all(attempt);
    const files: number[] = [];
    for (const { gives } of expected) {
      const file = model.nextFile();
      files.push(file);
      model.receive(gives, file, { moves: true, asFile: true });
    }
    const first = files[0] ?? model.nextFile();
    const text = `the handler of call ${attempt.call.id} receives all that was attached`;
    world.count('receives of all');
    const alone = [
      laneOf(attempt.call),
      ...files.map(laneOfFile),
      ...attempt.entries.map(({ sending }) => laneOfSending(sending)),
    ];
    const shared = attempt.entries.map(({ sending }) => laneOfPipe(sending.pipe));
    world.do(text, { alone, shared }, async () => {
      const outcome = await world.server(attempt.call.client).receiveAll(world.attemptId(attempt), first);
      world.compare.all(text, outcome, expected, first);
    });
  }
}

function candidates(model: Model): Attempt[] {
  return model.running.map(({ attempt }) => attempt).filter(({ call }) => call.client.peers === 'exact');
}

/** A receive that waits is aborted. */
export class AbortWait extends Step {
  constructor(readonly choices: { readonly wait: number; readonly atOnce: boolean }) {
    super(choices.atOnce);
  }

  protected isPossible(model: Model): boolean {
    return model.waits.size > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const wait = pick([...model.waits], this.choices.wait) as Wait;
    const { id, pipe } = wait;
    await world.settle();
    wait.fail('ABORTED');
    const text = `abort receive ${id}`;
    world.do(text, { alone: [laneOfPipe(pipe)] }, async () => {
      await world.placeOf(wait).abort(id);
    });
  }
}
