import type { Call } from './call.js';
import type { Client, Connection } from './connection.js';
import type { Sending } from './descriptor.js';
import { HOLDS } from './switches.js';
import type { Wait } from './wait.js';

/** Call credentials. They have calls of one client. */
export class Credentials {
  client: Client | undefined;
  closed = false;
  /** Nobody has them any more. */
  collected = false;
  /** Those that have not ended. */
  readonly calls = new Set<Call>();
  /** Those that may have brought something for them. */
  readonly #calls = new Set<Call>();
  /** What the next call takes along. */
  attachments: Sending[] = [];
  readonly connections = new Set<Connection>();
  readonly waits = new Set<Wait>();
  /** The numbers of all waits that there were. */
  readonly pastWaits: number[] = [];

  constructor(readonly id: number) {}

  get running(): boolean {
    return this.calls.size > 0;
  }

  /** Those that have an attempt. */
  get started(): Call[] {
    return [...this.calls].filter(({ attempts }) => attempts.length > 0);
  }

  /** A call starts. What earlier calls brought is given up, unless one of them runs. */
  start(call: Call, time: number): void {
    if (!this.running) this.endInterests(time);
    this.client = call.client;
    this.calls.add(call);
    this.#calls.add(call);
    for (const sending of this.attachments) sending.carriers.add(call);
  }

  /** An attempt has a connection. */
  bind(connection: Connection, time: number): void {
    for (const each of [...this.connections]) if (!each.open) this.connections.delete(each);
    this.connections.add(connection);
    if (!connection.interested.has(this)) connection.interested.set(this, time);
    for (const wait of this.waits) wait.listen(connection.atClient);
  }

  end(call: Call, time: number): void {
    this.calls.delete(call);
    if (this.closed && !this.running) this.endInterests(time);
    else if (this.closed && HOLDS.closedCredentialsAreDone) call.attempts.at(-1)?.connection.letGo(time);
    this.failHopelessWaits();
  }

  /** Or they are collected. */
  close(time: number): void {
    if (this.closed) return;
    this.closed = true;
    for (const sending of this.attachments) sending.release();
    this.attachments = [];
    for (const wait of [...this.waits]) wait.fail('CLOSED');
    this.endInterests(time);
    // What still comes for calls that run is closed when they end.
    for (const { attempt } of this.started) {
      if (attempt.connection.open) attempt.connection.interested.set(this, attempt.startedAt);
    }
  }

  forgetReleased(): void {
    this.attachments = this.attachments.filter(({ isKept }) => isKept);
  }

  endInterests(time: number): void {
    for (const call of this.#calls) {
      if (this.calls.has(call) && !HOLDS.closedCredentialsAreDone) continue;
      call.done.add(this);
      this.#calls.delete(call);
    }
    for (const connection of this.connections) connection.endInterest(this, time);
  }

  /** Nothing can come any more where no call runs and all connections are closed. */
  failHopelessWaits(): void {
    if (this.running || [...this.connections].some(({ open }) => open)) return;
    for (const wait of [...this.waits]) wait.fail('CONNECTION_CLOSED');
  }
}
