/** Steps that close, collect and kill. */
import * as grpc from '@grpc/grpc-js';
import type { Kind } from '../../support/kinds.js';
import type { Client } from '../rules/connection.js';
import type { Credentials } from '../rules/credentials.js';
import type { File } from '../rules/descriptor.js';
import { gives } from '../rules/expected.js';
import type { Model } from '../rules/model.js';
import type { World } from '../world.js';
import { laneOfCredentials, laneOfFile, lanesOfHeldFor, lanesOfWaits } from './lanes.js';
import { describeSendings, newSendings, pick, type SendSpec, Step, settleBeforeEndOf } from './step.js';

/** A user closes what was received, or makes another descriptor of it. */
export class UseFile extends Step {
  constructor(
    readonly choices: { readonly file: number; readonly duplicates: boolean; readonly atOnce: boolean },
  ) {
    super(choices.atOnce);
  }

  check(model: Model): boolean {
    return this.#candidates(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const file = pick(this.#candidates(model), this.choices.file) as File;
    const { id } = file;
    if (this.choices.duplicates) {
      const duplicate = model.duplicateFile(file);
      const text = `duplicate file ${id} as file ${duplicate.id}`;
      world.do(text, { alone: [laneOfFile(id), laneOfFile(duplicate.id)] }, async () => {
        const outcome = await world.placeOf(file).duplicate(id, duplicate.id);
        world.compare.one(text, outcome, gives(...duplicate.copies), duplicate.id);
      });
      return;
    }
    model.closeFile(file);
    const text = `close file ${id}`;
    world.do(text, { alone: [laneOfFile(id)] }, async () => {
      await world.placeOf(file).close(id);
    });
  }

  #candidates(model: Model): File[] {
    return [...model.files].filter(({ isReceivedFile }) => isReceivedFile || !this.choices.duplicates);
  }
}

/** Credentials are closed, or nobody knows them any more. */
export class EndCredentials extends Step {
  constructor(
    readonly choices: { readonly credentials: number; readonly collects: boolean; readonly atOnce: boolean },
  ) {
    super(choices.atOnce);
  }

  check(model: Model): boolean {
    return this.#candidates(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    const credentials = pick(this.#candidates(model), this.choices.credentials) as Credentials;
    const { collects } = this.choices;
    if (collects) await world.settle();
    else await settleBeforeEndOf([credentials], model, world);
    const alone = [
      laneOfCredentials(credentials),
      ...[...credentials.calls].map(({ id }) => `call ${id}`),
      ...lanesOfHeldFor([credentials]),
      ...lanesOfWaits(credentials),
    ];
    credentials.close(model.time);
    credentials.collected = collects;
    const text = `${collects ? 'collect' : 'close'} credentials ${credentials.id}`;
    world.count(collects ? 'credentials collected' : 'credentials closed');
    world.do(text, { alone }, async () => {
      if (collects) await world.clients.collect(credentials);
      else world.clients.credentials(credentials).close();
    });
    if (collects) await world.settle();
  }

  #candidates(model: Model): Credentials[] {
    const { collects } = this.choices;
    return model.credentials.filter(
      ({ closed, running, waits }) => !closed && !(collects && (running || waits.size > 0)),
    );
  }
}

/** The connection of a client dies. */
export class Kill extends Step {
  constructor(readonly choices: { readonly client: number; readonly atServer: boolean }) {
    super(false);
  }

  check(model: Model): boolean {
    return this.#candidates(model).length > 0;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    await world.settle();
    const client = pick(this.#candidates(model), this.choices.client) as Client;
    const { connection } = client;
    if (connection === undefined) return;
    const calls = model.running.filter(({ attempt }) => attempt.connection === connection);
    const before = calls.map(({ attempt }) => attempt);
    const last = model.calls
      .flatMap(({ attempts, doomed }) => (doomed ? [] : attempts))
      .findLast((each) => each.connection === connection);
    const again = new Set(model.closeConnection(connection));
    const atServer = this.choices.atServer && last !== undefined;
    const text = `kill the connection of client ${client.index} at its ${atServer ? 'server' : 'client'}`;
    world.count('connections killed');
    world.do(text, { alone: [] }, async () => {
      const server = world.server(client);
      const real = world.clients.connection(client);
      if (atServer) await server.kill(world.attemptId(last));
      else real.socket.destroy();
      await world.clients.leaves(client, real);
      for (const attempt of before) await server.ended(world.attemptId(attempt));
      for (const call of calls) {
        if (again.has(call)) await world.startsAgain(call, call.attempt, call.requests);
        else world.checkStatus(call, await world.clients.call(call).status, grpc.status.UNAVAILABLE);
      }
    });
  }

  #candidates(model: Model): Client[] {
    // grpc-js may change the order of calls that wait, and that have to wait again.
    return model.clients.filter(
      ({ connection, queue, maxStreams }) => connection?.open && queue.length <= maxStreams,
    );
  }
}

export interface DoomedChoices {
  readonly client: number;
  readonly kind: Kind;
  readonly sends: readonly SendSpec[];
  /** Sent after the call has started. */
  readonly late: readonly SendSpec[];
  readonly how: 'cancel' | 'deadline';
  /** Turns of the event loop, or milliseconds. */
  readonly after: number;
}

/** A call that ends at a time that nobody chose, in the middle of its start. */
export class Doomed extends Step {
  constructor(readonly choices: DoomedChoices) {
    super(false);
  }

  check(): boolean {
    return true;
  }

  protected async perform(model: Model, world: World): Promise<void> {
    await world.settle();
    const { kind, how, after, sends, late } = this.choices;
    const client = pick(
      model.clients.filter(({ peers, server }) => peers !== 'URL client' && server !== 'narrow'),
      this.choices.client,
    ) as Client;
    const credentials = model.newCredentials();
    const fresh = (specs: readonly SendSpec[]) => specs.map(({ refused }) => ({ pipe: undefined, refused }));
    // Their names depend on when the call ends.
    const sendings = newSendings(model, fresh(sends), false);
    const streams = kind === 'clientStream' || kind === 'bidi';
    const lateSendings = newSendings(model, fresh(streams ? late : []), false);
    model.sendWith(credentials, sendings);
    const call = model.startCall(client, kind, [credentials]);
    model.sendWith(credentials, lateSendings);
    model.endCall(call);
    call.doomed = true;
    credentials.close(model.time);
    // What was sent in the middle of a stream cannot be assigned to its call for certain. A Go-like server has what came.
    const { server } = call.attempt.connection;
    for (const copy of server.copies) {
      if (lateSendings.includes(copy.sending) || client.peers === 'URL server') copy.doubt();
    }
    const text =
      `start call ${call.id}, ${kind}, of client ${client.index}, credentials ${credentials.id}${describeSendings(sendings)}, ` +
      `${lateSendings.length > 0 ? `then write a message${describeSendings(lateSendings)}, ` : ''}` +
      (how === 'cancel' ? `cancel it after ${after} turns` : `with a deadline in ${after} ms`);
    world.count(`calls that end at their start: ${how}`);
    world.do(text, { alone: [] }, async () => {
      world.send(credentials, sendings);
      const deadline = how === 'deadline' ? { deadline: Date.now() + after } : {};
      const real = await world.clients.start(call, world.clients.credentials(credentials).options(deadline));
      if (lateSendings.length > 0) {
        world.send(credentials, lateSendings);
        real.write();
      }
      if (how === 'cancel') {
        for (let turn = 0; turn < after; turn++) await new Promise((resolve) => setImmediate(resolve));
        real.cancel();
      }
      world.checkStatus(
        call,
        await real.status,
        how === 'cancel' ? grpc.status.CANCELLED : grpc.status.DEADLINE_EXCEEDED,
      );
      world.clients.credentials(credentials).close();
      await world.clients.ping(client);
    });
    await world.settle();
  }
}
