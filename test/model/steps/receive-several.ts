/** Steps that receive several descriptors. */
import type { Attempt } from '../rules/call.js';
import type { Sending } from '../rules/descriptor.js';
import { type Expected, fails, isCertain } from '../rules/expected.js';
import type { Model, Receiver } from '../rules/model.js';
import type { World } from '../world.js';
import { laneOf, laneOfFile, laneOfPipe, laneOfSending } from './lanes.js';
import {
  describeReceiver,
  isGoLike,
  laneOfReceiver,
  pickReceiver,
  pickSending,
  receivers,
  receiveSeveralAt,
} from './receivers.js';
import { pick, Step } from './step.js';

export interface SeveralChoices {
  readonly receiver: number;
  readonly sendings: readonly { readonly sending: number; readonly by: 'ref' | 'url' }[];
  readonly keep: boolean;
  readonly any: boolean;
  readonly atOnce: boolean;
}

/** A field of a message. */
interface Field {
  readonly sending: Sending;
  readonly by: 'ref' | 'url';
  readonly expected: Expected;
}

/** `recvFiles`: all or none, and at once where a name is bad. */
export class ReceiveSeveral extends Step {
  constructor(readonly choices: SeveralChoices) {
    super(choices.atOnce);
  }

  check(model: Model): boolean {
    return model.sendings.length > 0 && this.#receivers(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const { keep, any } = this.choices;
    const receiver = pickReceiver(this.#receivers(model), any, this.choices.receiver) as Receiver;
    const named = this.#fields(model, receiver);
    const bad = named.filter(({ by, expected }) => by === 'ref' && expected.fails.length > 0);
    // Where all refs are good, a URL must give something, too: it could wait, or fail after the others were handed over.
    const fields = bad.length > 0 ? named : named.filter(({ expected }) => expected.gives.length > 0);
    if (fields.length === 0) return;
    for (const { sending, by } of fields) if (by === 'ref') model.choose(receiver, sending);
    const files = fields.map(() => model.nextFile());
    const first = files[0] ?? 0;
    if (bad.length === 0) {
      fields.forEach(({ sending, by, expected }, index) => {
        const isLast = fields.findLastIndex((each) => each.by === by && each.sending === sending) === index;
        model.receive(expected.gives, first + index, {
          moves: by === 'ref' && !keep && isLast,
          asFile: true,
        });
      });
    }
    const list = fields.map(({ sending, by }) => `${sending.id} by ${by}`).join(', ');
    const text = `${describeReceiver(receiver)} receives several: ${list}${keep ? ', to keep' : ''}`;
    world.count('receives of several');
    const touched = fields.flatMap(({ sending }) => [laneOfSending(sending), laneOfPipe(sending.pipe)]);
    world.do(text, { alone: [laneOfReceiver(receiver), ...touched, ...files.map(laneOfFile)] }, async () => {
      const names = fields.map(({ sending, by }) => world.nameOf(sending, by));
      const outcome = await receiveSeveralAt(world, receiver, names, { file: first, keep });
      if (bad.length > 0) {
        const reasons = bad.flatMap(({ expected }) => expected.fails);
        world.compare.one(text, outcome, fails(...reasons), first);
        return;
      }
      fields.forEach(({ expected }, index) => {
        world.compare.one(text, outcome, expected, first + index);
      });
    });
  }

  #fields(model: Model, receiver: Receiver): Field[] {
    const { any, sendings } = this.choices;
    return sendings.flatMap(({ sending: choice, by: wanted }) => {
      const sending = pickSending(model, receiver, any, choice);
      if (sending === undefined || !sending.exact) return [];
      const by = sending.refused ? 'ref' : wanted;
      const expected = by === 'ref' ? model.byRef(receiver, sending) : model.byUrl(receiver, sending.pipe);
      return isCertain(expected) ? [{ sending, by, expected }] : [];
    });
  }

  #receivers(model: Model): Receiver[] {
    return receivers(model).filter((each) => !isGoLike(each));
  }
}

/** `received()`: what was attached, in order, but for what was received by name. */
export class ReceiveAll extends Step {
  constructor(readonly choices: { readonly call: number; readonly atOnce: boolean }) {
    super(choices.atOnce);
  }

  check(model: Model): boolean {
    return this.#attempts(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const attempt = pick(this.#attempts(model), this.choices.call) as Attempt;
    const { call, entries } = attempt;
    const expected = model.all(attempt);
    const first = model.nextFile();
    const files = expected.map((_, index) => (index === 0 ? first : model.nextFile()));
    expected.forEach(({ gives }, index) => {
      model.receive(gives, first + index, { moves: true, asFile: true });
    });
    const text = `the handler of call ${call.id} receives all that was attached`;
    world.count('receives of all');
    const touched = {
      alone: [
        laneOf(call),
        ...files.map(laneOfFile),
        ...entries.map(({ sending }) => laneOfSending(sending)),
      ],
      shared: entries.map(({ sending }) => laneOfPipe(sending.pipe)),
    };
    world.do(text, touched, async () => {
      const outcome = await world.server(call.client).receiveAll(world.attemptId(attempt), first);
      world.compare.all(text, outcome, expected, first);
    });
  }

  #attempts(model: Model): Attempt[] {
    const exact = model.running.filter(({ client }) => client.peers === 'exact');
    return exact.map(({ attempt }) => attempt);
  }
}
