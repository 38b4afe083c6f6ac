/**
 * What the rules of ownership say about a history: which descriptor each receive gives, and which pipes are open. It follows
 * docs/references.md and docs/architecture.md, and knows nothing of how the package does it.
 */
import type { Kind } from '../../support/kinds.js';
import { Attempt, Call } from './call.js';
import { Client, Connection } from './connection.js';
import { Credentials } from './credentials.js';
import { type Copy, File, Sending } from './descriptor.js';
import { byRef } from './end.js';
import { type Expected, fails, WAITS } from './expected.js';
import { Pipe } from './pipe.js';
import { HOLDS } from './switches.js';
import { Wait } from './wait.js';

/** Of the server. */
export const MAX_FDS_PER_CALL = 3;
/** Of clients that try calls again. */
export const MAX_ATTEMPTS = 4;
/** Of the narrow server. */
export const MAX_STREAMS = 2;
const MANY = Number.POSITIVE_INFINITY;

/** Receives: the handler of an attempt, credentials, or the connection of a client without credentials. */
export type Receiver = Attempt | Credentials | Connection;

export class Model {
  readonly clients = [
    new Client(0, 'exact', 'ours', 1, MANY),
    new Client(1, 'exact', 'ours', MAX_ATTEMPTS, MANY),
    new Client(2, 'URL client', 'ours', 1, MANY),
    new Client(3, 'URL server', 'Go-like', 1, MANY),
    new Client(4, 'exact', 'ours', 1, MANY),
    new Client(5, 'exact', 'narrow', 1, MAX_STREAMS),
  ] as const;
  readonly pipes: Pipe[] = [];
  readonly sendings: Sending[] = [];
  readonly credentials: Credentials[] = [];
  readonly calls: Call[] = [];
  readonly files = new Set<File>();
  readonly waits = new Set<Wait>();
  /** Waits that have come to an outcome since this was last looked at. */
  settledWaits: Wait[] = [];
  /** Calls that had waited and that have started since this was last looked at. */
  startedCalls: Call[] = [];
  /** What happens at one time happens in an order that is not known. */
  time = 0;
  #connections = 0;
  #files = 0;

  /** Calls that have a handler. */
  get running(): Call[] {
    return this.calls.filter(({ ended, attempts }) => !ended && attempts.length > 0);
  }

  /** Calls that wait for their turn. */
  get waiting(): Call[] {
    return this.clients.flatMap(({ queue }) => queue);
  }

  /** A number for the next file that is received. */
  nextFile(): number {
    this.#files++;
    return this.#files;
  }

  newPipe(): Pipe {
    const pipe = new Pipe(this.pipes.length);
    this.pipes.push(pipe);
    return pipe;
  }

  newSending(pipe: Pipe, refused: boolean, exact: boolean): Sending {
    const sending = new Sending(this.sendings.length, pipe, pipe.openFiles, refused, exact);
    if (!refused) pipe.openFiles++;
    this.sendings.push(sending);
    return sending;
  }

  newCredentials(): Credentials {
    const credentials = new Credentials(this.credentials.length);
    this.credentials.push(credentials);
    return credentials;
  }

  /**
   * What is sent with credentials is kept, and goes with their next calls. If calls of theirs run, it comes on the connection of these with
   * the next bytes. No call claims what comes then, and it is kept only for attempts that may follow.
   */
  sendWith(credentials: Credentials, sendings: readonly Sending[]): void {
    const running = credentials.started;
    const carriers = HOLDS.eachCallHasItsOwn ? running : running.slice(0, 1);
    const each = sendings.flatMap((sending) => carriers.map(() => sending));
    running[0]?.attempt.connection.server.arriveUnclaimed(each, this.time);
    for (const sending of sendings) {
      sending.credentials = credentials;
      for (const call of credentials.calls) {
        if (call.committed) continue;
        call.attachments.push(sending);
        sending.carriers.add(call);
      }
      if (running.length > 0 && sending.carriers.size === 0) continue;
      sending.keep();
      credentials.attachments.push(sending);
    }
  }

  startCall(client: Client, kind: Kind, credentials: readonly Credentials[]): Call {
    const call = new Call(this.calls.length, client, kind, credentials);
    this.calls.push(call);
    for (const each of credentials) each.start(call, this.time);
    call.attachments = credentials.flatMap(({ attachments }) => attachments);
    client.queue.push(call);
    this.#startNext(client);
    return call;
  }

  sendToClient(call: Call, sendings: readonly Sending[]): void {
    call.replies++;
    const { credentials } = call;
    const copies = call.attempt.connection.atClient.arrive(sendings, this.time, call);
    // It may be let go of at once where all credentials of the call are closed.
    if (credentials.length > 0 && credentials.every(({ closed }) => closed)) {
      for (const copy of copies) copy.doubt();
    }
    call.commit();
  }

  /** True where another attempt follows. */
  failAttempt(call: Call): boolean {
    call.attempt.end();
    if (call.committed || call.attempts.length >= call.client.maxAttempts) {
      this.endCall(call, true);
      return false;
    }
    this.#beginAttempt(call);
    return true;
  }

  /** @param replied its trailers come */
  endCall(call: Call, replied = false): void {
    if (call.ended) return;
    call.replied = replied;
    call.ended = true;
    call.attempts.at(-1)?.end();
    call.commit();
    for (const each of call.credentials) each.end(call, this.time);
    const { client } = call;
    if (client.queue.includes(call)) client.queue.splice(client.queue.indexOf(call), 1);
    if (client.connection?.open) this.startedCalls.push(...this.#startNext(client));
  }

  /** Returns the calls that have another attempt. */
  closeConnection(connection: Connection): Call[] {
    const calls = this.running.filter(({ attempt }) => attempt.connection === connection);
    connection.close();
    const again = calls.filter((call) => this.failAttempt(call));
    this.startedCalls.push(...this.#startNext(connection.client));
    for (const each of this.credentials) each.failHopelessWaits();
    return again;
  }

  /** What a receive by the exact name comes to. */
  byRef(receiver: Receiver, sending: Sending): Expected {
    if (receiver instanceof Attempt) return this.#byRefInHandler(receiver, sending);
    if (receiver instanceof Connection) return fails('WRONG_CONNECTION');
    if (receiver.closed) return fails('CLOSED');
    for (const connection of receiver.connections) {
      const copy = connection.atClient.copies.find((each) => each.sending === sending);
      if (copy === undefined) continue;
      return connection.open ? byRef(copy) : fails('CONNECTION_CLOSED', 'WRONG_CONNECTION');
    }
    return fails('WRONG_CONNECTION');
  }

  /** What `received()` comes to for each descriptor that was attached, until one did not come. It skips what was handed over. */
  all(attempt: Attempt): Expected[] {
    const copies = attempt.entries.map(({ copy }) => copy).filter((copy) => copy?.state !== 'moved');
    const expected = copies.map((copy) => (copy === undefined ? fails('NOT_FOUND') : byRef(copy)));
    const end = expected.findIndex(({ gives }) => gives.length === 0);
    return end === -1 ? expected : expected.slice(0, end + 1);
  }

  /** A handler names that sending by its ref. */
  choose(receiver: Receiver, sending: Sending): void {
    if (!(receiver instanceof Attempt) || receiver.chosen.has(sending)) return;
    const copy = this.#namedCopies(receiver, sending).find(isHere);
    if (copy !== undefined) receiver.chosen.set(sending, copy);
  }

  byUrl(receiver: Receiver, pipe: Pipe): Expected {
    if (receiver instanceof Attempt) {
      if (receiver.ended) return fails('CALL_ENDED', 'CONNECTION_CLOSED');
      return receiver.connection.server.byUrl(pipe, receiver);
    }
    if (receiver instanceof Connection) {
      return receiver.open ? receiver.atClient.byUrl(pipe) : fails('CONNECTION_CLOSED');
    }
    if (receiver.closed) return fails('CLOSED');
    const open = [...receiver.connections].filter((connection) => connection.open);
    if (open.length > 1) throw new Error('credentials have a call on one open connection at a time');
    if (open[0] !== undefined) return open[0].atClient.byUrl(pipe);
    return receiver.connections.size === 0 ? WAITS : fails('CONNECTION_CLOSED');
  }

  /** One of the copies is the user's from now on, or the user has a duplicate of it. */
  receive(copies: readonly Copy[], id: number, how: { moves: boolean; asFile: boolean }): void {
    const [first] = copies;
    if (first === undefined) return;
    this.files.add(new File(id, copies, first.end.place, how.asFile, first.sending.pipe));
    if (how.moves) first.leaves('moved');
  }

  wait(receiver: Receiver, pipe: Pipe, id: number, asFile: boolean): Wait {
    if (receiver instanceof Connection) throw new Error('it waits for nothing');
    const place = receiver instanceof Attempt ? receiver.connection.server.place : 'client';
    const wait = new Wait(id, pipe, place, asFile, (settled) => {
      receiver.waits.delete(settled);
      this.waits.delete(settled);
      pipe.waitSettledAt = this.time;
      this.settledWaits.push(settled);
      if (settled.file !== undefined) this.files.add(settled.file);
    });
    const end = this.#endOf(receiver);
    if (end !== undefined) wait.listen(end);
    receiver.waits.add(wait);
    receiver.pastWaits.push(id);
    this.waits.add(wait);
    return wait;
  }

  closeFile(file: File): void {
    file.release();
    this.files.delete(file);
  }

  duplicateFile(file: File): File {
    const duplicate = new File(this.nextFile(), file.copies, file.place, true, file.pipe);
    this.files.add(duplicate);
    return duplicate;
  }

  /** Nothing is under way. */
  settled(): void {
    this.time++;
    for (const { connection } of this.clients) connection?.learn();
  }

  /** Calls start in the order in which they came, as long as the server allows further streams. */
  #startNext(client: Client): Call[] {
    const started: Call[] = [];
    while (this.#streamsOf(client) < client.maxStreams) {
      const call = client.queue.shift();
      if (call === undefined) break;
      this.#beginAttempt(call);
      started.push(call);
    }
    return started;
  }

  #streamsOf(client: Client): number {
    return this.running.filter((call) => call.client === client).length;
  }

  #beginAttempt(call: Call): void {
    const { client } = call;
    if (client.connection?.open !== true) {
      client.connection = new Connection(this.#connections, client, this.time);
      this.#connections++;
    }
    const { connection } = client;
    const attempt = new Attempt(call, call.attempts.length + 1, connection, this.time);
    call.attempts.push(attempt);
    for (const each of call.credentials) each.bind(connection, this.time);
    // What was released before the attempt is not sent.
    const named = call.credentials.flatMap((each) =>
      call.attachments.filter(({ credentials }) => credentials === each),
    );
    const sent = named.filter(({ isKept }) => isKept);
    const copies = connection.server.arrive(sent, this.time);
    if (client.peers === 'URL server') return;
    for (const sending of named) {
      attempt.claim(sending, copies[sent.indexOf(sending)], MAX_FDS_PER_CALL);
    }
  }

  #byRefInHandler(attempt: Attempt, sending: Sending): Expected {
    if (attempt.ended) return fails('CALL_ENDED', 'CONNECTION_CLOSED', 'WRONG_CONNECTION');
    const copies = this.#namedCopies(attempt, sending);
    const known = attempt.chosen.get(sending) ?? copies.find(isHere) ?? copies[0];
    if (copies.length === 0) return fails('WRONG_CONNECTION');
    return known === undefined ? fails('NOT_FOUND') : byRef(known);
  }

  /** What the names in a ref stand for in a call; undefined for what was not sent again. The ref of what was attached is good in one call. */
  #namedCopies({ entries, connection }: Attempt, sending: Sending): (Copy | undefined)[] {
    const entry = entries.find((each) => each.sending === sending);
    const [first, ...others] = sending.unclaimed;
    const here = (copy: Copy | undefined) => copy?.end === connection.server;
    return [...(entry === undefined ? [first].filter(here) : [entry.copy]), ...others.filter(here)];
  }

  #endOf(receiver: Attempt | Credentials) {
    if (receiver instanceof Attempt) return receiver.connection.server;
    return [...receiver.connections].find(({ open }) => open)?.atClient;
  }
}

function isHere(copy: Copy | undefined): boolean {
  return copy?.isHere === true;
}
