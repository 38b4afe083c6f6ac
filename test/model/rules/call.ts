import type { Kind } from '../../support/kinds.js';
import type { Client, Connection } from './connection.js';
import type { Credentials } from './credentials.js';
import type { Copy, Sending } from './descriptor.js';
import type { Wait } from './wait.js';

export class Call {
  /** In the order of the metadata of an attempt. */
  attachments: Sending[] = [];
  readonly attempts: Attempt[] = [];
  /** The first response headers have come, so no attempt can follow. */
  committed = false;
  ended = false;
  /** Those of its credentials that are closed, collected, or used for a next call. */
  readonly done = new Set<Credentials>();
  /** Perhaps it never reached a handler. */
  doomed = false;
  /** Its trailers have come. */
  replied = false;
  /** What the client has written after the first message, and what the server has written. */
  requests = 0;
  replies = 0;

  constructor(
    readonly id: number,
    readonly client: Client,
    readonly kind: Kind,
    readonly credentials: readonly Credentials[],
  ) {}

  get attempt(): Attempt {
    const last = this.attempts.at(-1);
    if (last === undefined) throw new Error('the call has not started');
    return last;
  }

  get streamsRequests(): boolean {
    return this.kind === 'clientStream' || this.kind === 'bidi';
  }

  get streamsReplies(): boolean {
    return this.kind === 'serverStream' || this.kind === 'bidi';
  }

  commit(): void {
    if (this.committed) return;
    this.committed = true;
    const [attempt] = this.attempts;
    if (attempt !== undefined) attempt.connection.answered = true;
    for (const sending of this.attachments) {
      sending.carriers.delete(this);
      if (sending.carriers.size === 0) sending.release();
    }
    for (const each of this.credentials) each.forgetReleased();
  }
}

/** One try of a call on one connection: what its handler sees. */
export class Attempt {
  /** What the metadata names. No copy stands for what was released before it was sent. */
  readonly entries: { readonly sending: Sending; readonly copy: Copy | undefined }[] = [];
  readonly waits = new Set<Wait>();
  /** The numbers of all waits that there were. */
  readonly pastWaits: number[] = [];
  /** Of a ref with several names, the first one by which something could be received stays the one that counts. */
  readonly chosen = new Map<Sending, Copy>();
  ended = false;

  constructor(
    readonly call: Call,
    readonly number: number,
    readonly connection: Connection,
    readonly startedAt: number,
  ) {}

  get claims(): Copy[] {
    return this.entries.flatMap(({ copy }) => (copy?.attempt === this ? [copy] : []));
  }

  /** `maxFdsPerCall` is checked when a call claims; what is above it is closed then. */
  claim(sending: Sending, copy: Copy | undefined, maxFdsPerCall: number): void {
    this.entries.push({ sending, copy });
    if (copy === undefined || copy.state === 'refused') return;
    if (this.claims.length >= maxFdsPerCall) copy.leaves('over limit');
    else copy.attempt = this;
  }

  /** What came for a call and was not received is closed when the call ends, however it ends. */
  end(): void {
    this.ended = true;
    for (const copy of this.claims) copy.leaves('closed');
    for (const wait of [...this.waits]) wait.fail('CALL_ENDED', 'CONNECTION_CLOSED');
  }
}
