/** The real thing of one history. It does what the steps say, and compares it with the model. */
import * as grpc from '@grpc/grpc-js';
import { Comparison } from './compare.js';
import { Mismatch, type Wrong } from './mismatch.js';
import type { Status } from './real/client-call.js';
import { ClientSide, type ClientSideOptions } from './real/client-side.js';
import type { Hands } from './real/hands.js';
import { Lanes, type Touched } from './real/lanes.js';
import { PipeEnd, type ToSend } from './real/pipes.js';
import { type AttemptId, type Names, type ServerControl, sendAndClose } from './real/server-side.js';
import type { Attempt, Call } from './rules/call.js';
import type { Client } from './rules/connection.js';
import type { Credentials } from './rules/credentials.js';
import type { File, Sending } from './rules/descriptor.js';
import type { ServerName } from './rules/end.js';
import { fails, gives } from './rules/expected.js';
import { Model } from './rules/model.js';
import type { Pipe } from './rules/pipe.js';
import type { Wait } from './rules/wait.js';
import { laneOfCredentials, touchedBy } from './steps/lanes.js';
import type { Tally } from './tally.js';

export interface Surroundings extends Omit<ClientSideOptions, 'prefix'> {
  readonly servers: Readonly<Record<ServerName, ServerControl>>;
  readonly tally: Tally;
  /** Nothing takes longer. */
  patienceMs: number;
}

/** Stands in a history where everything has come to its end. */
const SETTLED = '--';

/** Those that nothing is said to have changed are looked at now and then: it takes a system call and an error for each. */
const ALL_PIPES_EVERY = 5;

let worlds = 0;

export class World {
  readonly model = new Model();
  readonly clients: ClientSide;
  readonly compare: Comparison;
  /** What has been done, in words. */
  readonly history: string[] = [];
  readonly #surroundings: Surroundings;
  readonly #lanes = new Lanes();
  readonly #pipes: PipeEnd[] = [];
  readonly #names = new Map<Sending, Names>();
  #descriptorsBefore = 0;

  constructor(surroundings: Surroundings) {
    worlds++;
    this.#surroundings = surroundings;
    this.clients = new ClientSide({ ...surroundings, prefix: `${process.pid}.${worlds}` });
    this.compare = new Comparison(
      (pipe) => this.pipe(pipe),
      (what) => this.count(what),
    );
  }

  async begin(): Promise<void> {
    this.#descriptorsBefore = (await this.#descriptors()).length;
  }

  count(what: string): void {
    this.#surroundings.tally.count(what);
  }

  /** Does something of which the model knows already. */
  do(what: string, touched: Touched, action: () => Promise<void>): void {
    this.count('steps');
    this.history.push(what);
    this.#lanes.run(what, touched, action);
    for (const call of this.model.startedCalls.splice(0)) {
      const { attempt, attachments, credentials } = call;
      const touched = touchedBy(this.model, call, attachments, credentials.map(laneOfCredentials));
      this.#lanes.run(`call ${call.id} gets its turn`, touched, () => this.startsAgain(call, attempt, 0));
    }
    for (const wait of this.model.settledWaits.splice(0)) {
      const { id, pipe } = wait;
      const text = `receive ${id}, which waited for pipe ${pipe.id}, comes to its end`;
      this.#lanes.run(text, { alone: [`file ${id}`] }, () => this.#checkWait(text, wait));
    }
  }

  /** Everything comes to its end, and the pipes are as the rules say. */
  async settle(checkAll = this.model.time % ALL_PIPES_EVERY === 0): Promise<void> {
    await this.#patiently(() => this.#lanes.running.join('; '), this.#lanes.settled());
    if (this.history.at(-1) !== SETTLED) this.history.push(SETTLED);
    this.model.settled();
    for (const pipe of this.model.pipes) {
      if (!checkAll && !pipe.changed) continue;
      pipe.changed = false;
      await this.#checkPipe(pipe, pipe.state);
    }
  }

  /** Nothing stays of the history. */
  async finish(): Promise<void> {
    await this.settle(true);
    await this.end();
    for (const pipe of this.model.pipes) await this.#checkPipe(pipe, 'closed');
    this.#closePipes();
    // The first history also opens what the process keeps.
    if (worlds === 1) return;
    await this.#eventually('leak', async () => {
      const descriptors = await this.#descriptors();
      return descriptors.length <= this.#descriptorsBefore ? undefined : descriptors.join(', ');
    });
  }

  /** Also after it has failed. */
  async abandon(): Promise<void> {
    await this.end();
    this.#closePipes();
  }

  /** The server of a client. */
  server({ server }: Client): ServerControl {
    return this.#surroundings.servers[server];
  }

  attemptId({ call, number }: Attempt): AttemptId {
    return { call: this.clients.nameOf(call), attempt: number };
  }

  /** Another attempt of a call follows, or the first one of a call that waited. Its messages come again. */
  async startsAgain(call: Call, attempt: Attempt, requests: number): Promise<void> {
    const server = this.server(call.client);
    await server.started(this.attemptId(attempt));
    await server.messages(this.attemptId(attempt), requests);
  }

  /** The end to read from of a pipe. */
  pipe(pipe: Pipe): PipeEnd {
    for (let id = this.#pipes.length; id <= pipe.id; id++) this.#pipes.push(new PipeEnd());
    return this.#pipes[pipe.id] as PipeEnd;
  }

  toSend({ refused, pipe, openFile }: Sending): ToSend {
    return refused ? { kind: 'refused' } : this.pipe(pipe).toSend(openFile);
  }

  /** A client sends, with credentials or on its connection. */
  send(from: Credentials | Client, sendings: readonly Sending[]): void {
    for (const sending of sendings) {
      this.sent(sending, sendAndClose(this.clients.transceiver(from), this.toSend(sending)));
    }
  }

  sent(sending: Sending, names: Names): void {
    this.#names.set(sending, names);
  }

  /** How a receiver names a descriptor that was sent. */
  nameOf(sending: Sending, by: 'ref' | 'url'): string {
    if (by === 'url') return this.pipe(sending.pipe).url;
    const names = this.#names.get(sending);
    if (names === undefined) throw new Error(`descriptor ${sending.id} was not sent`);
    return names.ref;
  }

  /** Where a file is, or a receive waits. */
  placeOf({ place }: File | Wait): Hands | ServerControl {
    return place === 'client' ? this.clients.hands : this.#surroundings.servers[place];
  }

  checkStatus(call: Call, { code, details }: Status, expected: grpc.status): void {
    if (code === expected) return;
    throw new Mismatch(
      'wrong outcome',
      `call ${call.id} ends with ${grpc.status[code]} (${details}); expected: ${grpc.status[expected]}`,
    );
  }

  async end(): Promise<void> {
    await this.clients.end();
    for (const server of Object.values(this.#surroundings.servers)) await server.forget();
  }

  async #checkWait(what: string, wait: Wait): Promise<void> {
    const { outcome, id } = wait;
    if (outcome === undefined) return;
    const expected = 'copy' in outcome ? gives(outcome.copy) : fails(...outcome.fails);
    this.compare.one(what, await this.placeOf(wait).outcome(id), expected, id);
  }

  async #checkPipe(pipe: Pipe, state: Pipe['state']): Promise<void> {
    const end = this.#pipes[pipe.id];
    if (end === undefined) return;
    if (state === 'open' && !end.isOpen()) {
      throw new Mismatch(
        'closed too early',
        `pipe ${pipe.id} has come to its end, and somebody must have it open`,
      );
    }
    if (state === 'closed') {
      await this.#eventually('leak', async () =>
        end.isOpen() ? `pipe ${pipe.id} does not come to its end, and nobody may have it open` : undefined,
      );
    }
  }

  #closePipes(): void {
    for (const pipe of this.#pipes.splice(0)) pipe.close();
  }

  async #descriptors(): Promise<string[]> {
    const places = [this.clients.hands, ...Object.values(this.#surroundings.servers)];
    const lists = await Promise.all(places.map((each) => each.descriptors()));
    return lists.flat();
  }

  /** `whatIsWrong` becomes undefined in time. */
  async #eventually(wrong: Wrong, whatIsWrong: () => Promise<string | undefined>): Promise<void> {
    let deadline: number | undefined;
    for (let turn = 0; ; turn++) {
      const text = await whatIsWrong();
      if (text === undefined) return;
      deadline ??= performance.now() + this.#surroundings.patienceMs;
      if (performance.now() > deadline) throw new Mismatch(wrong, text);
      await new Promise((resolve) => (turn < 100 ? setImmediate(resolve) : setTimeout(resolve, 2)));
    }
  }

  async #patiently(what: () => string, promise: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Mismatch('hang', what())), this.#surroundings.patienceMs);
    });
    try {
      await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
