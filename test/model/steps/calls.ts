/** Steps that start calls, write messages, and end calls. */
import * as grpc from '@grpc/grpc-js';
import type { Kind } from '../../support/kinds.js';
import type { Call } from '../rules/call.js';
import type { Client } from '../rules/connection.js';
import type { Credentials } from '../rules/credentials.js';
import type { Model } from '../rules/model.js';
import type { World } from '../world.js';
import { laneOfCredentials, lanesOfHeldFor, lanesOfWaits, touchedBy } from './lanes.js';
import { describeSendings, newSendings, pick, type SendSpec, Step, settleBeforeEndOf } from './step.js';

export interface StartChoices {
  readonly client: number;
  readonly kind: Kind;
  /** Those that there are, or new ones. */
  readonly credentials: readonly (number | undefined)[];
  readonly sends: readonly SendSpec[];
  /** They are not sent with credentials, so that no call claims them. */
  readonly onConnection: boolean;
  /** The server sends response headers at once. */
  readonly headers: boolean;
  readonly atOnce: boolean;
}

export class Start extends Step {
  constructor(readonly choices: StartChoices) {
    super(choices.atOnce);
  }

  check(): boolean {
    return true;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const { kind } = this.choices;
    const client = model.clients[this.choices.client] as Client;
    if (isNarrow(client)) await world.settle();
    const credentials = client.peers === 'URL client' ? [] : this.#credentials(model, client);
    await settleBeforeEndOf(
      credentials.filter(({ running }) => !running),
      model,
      world,
    );
    // What its connection is letting go of could stay for these credentials.
    if (client.connection?.emptiedAt === model.time) await world.settle();
    const held = lanesOfHeldFor(credentials);
    const { from, sendings } = this.#send(model, client, credentials);
    const call = model.startCall(client, kind, credentials);
    const [attempt] = call.attempts;
    const headers = attempt !== undefined && this.choices.headers;
    if (headers) call.commit();
    const text =
      `start call ${call.id}, ${kind}, of client ${client.index}` +
      credentials.map(({ id }) => `, credentials ${id}`).join('') +
      describeSendings(sendings, from) +
      (headers ? ', get its headers' : '') +
      (attempt === undefined ? ', which waits for its turn' : '');
    world.count(attempt === undefined ? 'calls that wait for their turn' : 'calls');
    const arrive = [...new Set([...sendings, ...call.attachments])];
    const touched = touchedBy(model, call, arrive, [...credentials.map(laneOfCredentials), ...held]);
    world.do(text, touched, async () => {
      world.send(from, sendings);
      const options = credentials.reduce<grpc.CallOptions>(
        (base, each) => world.clients.credentials(each).options(base),
        {},
      );
      const real = await world.clients.start(call, options);
      if (attempt === undefined) return;
      const server = world.server(client);
      await server.started(world.attemptId(attempt));
      if (!headers) return;
      await server.headers(world.attemptId(attempt));
      await real.headers.reach(1);
    });
    if (isNarrow(client)) await world.settle();
  }

  /** Before the call starts: with the last credentials, or on the connection that there is. */
  #send(model: Model, client: Client, credentials: readonly Credentials[]) {
    const { sends, onConnection } = this.choices;
    const { connection } = client;
    const exact = client.peers === 'exact';
    const isConnected = connection?.open === true && connection.since < model.time;
    const sender = onConnection && isConnected && !isNarrow(client) ? undefined : credentials.at(-1);
    if (sender === undefined) {
      const sendings = newSendings(model, isConnected ? sends : [], exact);
      connection?.server.arriveUnclaimed(sendings, model.time);
      return { from: client, sendings };
    }
    // A call that waits for its turn has no bytes with which this could leave.
    const mayStay = isNarrow(client) && sender.running;
    const sendings = newSendings(model, mayStay ? [] : sends, exact);
    model.sendWith(sender, sendings);
    return { from: sender, sendings };
  }

  #credentials(model: Model, client: Client): Credentials[] {
    const chosen = this.choices.credentials.map((choice) =>
      choice === undefined
        ? undefined
        : pick(
            model.credentials.filter((each) => isUsable(each, client)),
            choice,
          ),
    );
    const distinct = chosen.filter((each, index) => each === undefined || chosen.indexOf(each) === index);
    return (distinct.length === 0 ? [undefined] : distinct).map((each) => each ?? model.newCredentials());
  }
}

function isUsable(credentials: Credentials, client: Client): boolean {
  if (credentials.closed) return false;
  if (credentials.client !== undefined && credentials.client !== client) return false;
  // A wait goes on where it began, or on a connection where nothing came yet.
  const { connection } = client;
  return (
    credentials.waits.size === 0 || (connection?.open === true && credentials.connections.has(connection))
  );
}

export interface MessageChoices {
  readonly call: number;
  readonly sends: readonly SendSpec[];
  readonly atOnce: boolean;
}

/** A message of a client that is not the first. */
export class ClientMessage extends Step {
  constructor(readonly choices: MessageChoices) {
    super(choices.atOnce);
  }

  check(model: Model): boolean {
    return candidates(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const call = pick(candidates(model), this.choices.call) as Call;
    const { client, attempt } = call;
    const sendings = newSendings(model, this.choices.sends, client.peers === 'exact');
    const touched = touchedBy(model, call, sendings, call.credentials.map(laneOfCredentials));
    const sender = call.credentials.find(({ closed }) => !closed);
    if (sender === undefined) attempt.connection.server.arriveUnclaimed(sendings, model.time);
    else model.sendWith(sender, sendings);
    call.requests++;
    const count = call.requests;
    const from = sender ?? client;
    const text = `write a message of call ${call.id}${describeSendings(sendings, from)}`;
    world.do(text, touched, async () => {
      world.send(from, sendings);
      world.clients.call(call).write();
      await world.server(client).messages(world.attemptId(attempt), count);
    });
  }
}

function candidates(model: Model): Call[] {
  return model.running.filter(({ streamsRequests }) => streamsRequests);
}

/** A message of a server: its reply, or one of many. */
export class ServerMessage extends Step {
  constructor(
    readonly choices: MessageChoices,
    readonly ends: boolean,
  ) {
    super(choices.atOnce);
  }

  check(model: Model): boolean {
    return this.#candidates(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const call = pick(this.#candidates(model), this.choices.call) as Call;
    const { client, attempt, credentials } = call;
    if (this.ends && mayPass(call)) return;
    if (isNarrow(client)) await world.settle();
    if (this.ends)
      await settleBeforeEndOf(
        credentials.filter(({ closed }) => closed),
        model,
        world,
      );
    const sendings = newSendings(model, this.choices.sends, client.peers === 'exact');
    const others = [
      ...credentials.map(laneOfCredentials),
      ...(this.ends ? [...lanesOfHeldFor(credentials), ...lanesOfWaits(attempt)] : []),
    ];
    const touched = touchedBy(model, call, sendings, others);
    model.sendToClient(call, sendings);
    if (this.ends) model.endCall(call, true);
    const count = call.replies;
    const text = `${this.ends ? 'reply to' : 'answer'} call ${call.id}${describeSendings(sendings)}`;
    world.do(text, touched, async () => {
      const server = world.server(client);
      const id = world.attemptId(attempt);
      const names = await server.message(
        id,
        sendings.map((each) => world.toSend(each)),
        this.ends,
      );
      names.forEach((each, index) => {
        const sending = sendings[index];
        if (sending !== undefined) world.sent(sending, each);
      });
      const real = world.clients.call(call);
      await real.messages.reach(count);
      if (!this.ends) return;
      world.checkStatus(call, await real.status, grpc.status.OK);
      await server.ended(id);
    });
    if (isNarrow(client)) await world.settle();
  }

  #candidates(model: Model): Call[] {
    return this.ends ? model.running : model.running.filter(({ streamsReplies }) => streamsReplies);
  }
}

export interface EndChoices {
  readonly call: number;
  readonly how: 'unavailable' | 'aborted' | 'cancel';
  readonly atOnce: boolean;
}

/** A call is cancelled by its client, or fails at its server, and perhaps has another attempt. */
export class EndCall extends Step {
  constructor(readonly choices: EndChoices) {
    super(choices.atOnce);
  }

  check(model: Model): boolean {
    return this.#candidates(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const call = pick(this.#candidates(model), this.choices.call) as Call;
    const { client, credentials, attachments } = call;
    const [attempt] = call.attempts.slice(-1);
    const waits = attempt === undefined ? [] : [...attempt.waits];
    // What comes with the next attempt may come before the server knows that this one has ended.
    const mayGetIt = waits.some(({ pipe }) => attachments.some((each) => each.pipe === pipe));
    const how = mayGetIt && this.choices.how === 'unavailable' ? 'aborted' : this.choices.how;
    if (mayPass(call)) return;
    if (isNarrow(client)) await world.settle();
    await settleBeforeEndOf(
      credentials.filter(({ closed }) => closed),
      model,
      world,
    );
    const touched = touchedBy(model, call, attachments, [
      ...credentials.map(laneOfCredentials),
      ...lanesOfHeldFor(credentials),
      ...(attempt === undefined ? [] : lanesOfWaits(attempt)),
    ]);
    const again = how === 'unavailable' && model.failAttempt(call);
    if (how !== 'unavailable') model.endCall(call, how === 'aborted');
    const next = again ? call.attempt : undefined;
    const { requests } = call;
    const text =
      how === 'cancel'
        ? `cancel call ${call.id}${attempt === undefined ? ', which waits for its turn' : ''}`
        : `fail call ${call.id} (${how})${again ? ', which is tried again' : ''}`;
    world.count(again ? 'attempts after the first' : `calls that fail: ${how}`);
    world.do(text, touched, async () => {
      const server = world.server(client);
      const real = world.clients.call(call);
      if (how === 'cancel') real.cancel();
      else if (attempt !== undefined) await server.fail(world.attemptId(attempt), CODES[how]);
      if (attempt !== undefined) await server.ended(world.attemptId(attempt));
      if (next === undefined) world.checkStatus(call, await real.status, CODES[how]);
      else await world.startsAgain(call, next, requests);
    });
    if (isNarrow(client)) await world.settle();
  }

  #candidates(model: Model): Call[] {
    return this.choices.how === 'cancel' ? [...model.running, ...model.waiting] : model.running;
  }
}

/** Which of its calls have a turn depends on the order of all that happens. */
function isNarrow({ maxStreams }: Client): boolean {
  return Number.isFinite(maxStreams);
}

/** Whether what comes with the next call in turn may be given to receives of this call, because it comes before the server knows its end. */
function mayPass({ client, attempts }: Call): boolean {
  const waits = attempts.at(-1)?.waits.size ?? 0;
  return waits > 0 && client.queue.length > 0;
}

const CODES = {
  unavailable: grpc.status.UNAVAILABLE,
  aborted: grpc.status.ABORTED,
  cancel: grpc.status.CANCELLED,
};
