import { GrpcFdError } from '../../errors.js';
import { DEFAULT_LIMITS } from '../../inbox/limits.js';
import type { SequenceRange } from '../../inbox/names.js';
import type { Connection } from '../connection.js';
import type { FdsAnswer, FdsEntry } from '../fds-metadata.js';
import type { Attachment, Reason } from './attachment.js';
import type { Attempt } from './attempt.js';
import type { Turn } from './stream-queue.js';

/** The credentials that were given to a call, which tells them of its course. */
export interface ClientCallOwner {
  /** A call starts. Returns the attachments that go with it. */
  callStarted(call: ClientCall): Iterable<Attachment>;
  /** An attempt's stream starts on `connection`. */
  callBound(connection: Connection): void;
  /** The channel's connections cannot carry descriptors. */
  callUnsupported(error: GrpcFdError): void;
  /** No attempt can follow; `attachments` went with the call. `refusal` is why no attempt was made, if the call had too many of them. */
  callCommitted(attachments: Iterable<Attachment>, refusal: Reason | undefined): void;
  /** The server has sent these descriptors in the call. */
  callAssigned(connection: Connection, sent: readonly SequenceRange[]): void;
  callEnded(call: ClientCall): void;
}

/** What all FdCallCredentials of one call attach to it. */
export class CallLoad {
  /** `maxFdsPerCall` of the channel, once it is known. */
  maxFds = DEFAULT_LIMITS.maxFdsPerCall;
  readonly #calls: ClientCall[] = [];

  add(call: ClientCall): void {
    this.#calls.push(call);
  }

  get size(): number {
    return this.#calls.reduce((sum, call) => sum + call.attached, 0);
  }

  get isFull(): boolean {
    return this.size >= this.maxFds;
  }

  /** Why no attempt of the call can be made with that limit. */
  refusalWith(maxFds: number): GrpcFdError | undefined {
    this.maxFds = maxFds;
    return this.size > maxFds ? tooManyDescriptors(this.size, maxFds) : undefined;
  }
}

export function tooManyDescriptors(count: number, maxFds: number): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_TOO_MANY_DESCRIPTORS',
    `${count} descriptors for one call are more than the ${maxFds} that it may have (maxFdsPerCall of its channel)`,
  );
}

/** One call with one of its FdCallCredentials, from its start to its status. A call with several of them has several of these. */
export class ClientCall {
  readonly load: CallLoad;
  readonly #owner: ClientCallOwner;
  #attachments: Attachment[] = [];
  #committed = false;
  readonly #attempts: Attempt[] = [];
  /** Where attempts wait, or have waited, for a stream. */
  readonly #turns: Turn[] = [];
  #refusal: Reason | undefined;

  constructor(owner: ClientCallOwner, load: CallLoad) {
    this.#owner = owner;
    this.load = load;
    load.add(this);
  }

  /** How many descriptors go with its next attempt. */
  get attached(): number {
    return this.#attachments.length;
  }

  /** The attempts whose streams have started, oldest first. */
  get attempts(): readonly Attempt[] {
    return this.#attempts;
  }

  /** Whether an attempt can follow. */
  get mayHaveAttempts(): boolean {
    return !this.#committed;
  }

  /** Adds `attachment` to all further attempts. False if none can follow. */
  add(attachment: Attachment): boolean {
    if (!this.#committed) this.#attachments.push(attachment);
    return !this.#committed;
  }

  started(): void {
    this.#attachments = [...this.#owner.callStarted(this)];
  }

  /** Queues the attachments on the connection of an attempt whose stream is starting. */
  bind(attempt: Attempt): FdsEntry[] {
    const { connection } = attempt;
    this.#attempts.push(attempt);
    this.#owner.callBound(connection);
    return this.#attachments.map((attachment) => attachment.sendOn(connection));
  }

  /** An attempt waits for a stream. It gives up its turn when no attempt can follow. */
  waitFor(turn: Turn): void {
    if (this.#committed) turn.leave();
    else this.#turns.push(turn);
  }

  unsupported(error: GrpcFdError): void {
    this.#owner.callUnsupported(error);
  }

  /** No attempt is made, because too many descriptors are attached. */
  refuse(reason: Reason): void {
    this.#refusal = reason;
  }

  /** @param answer the server's, in its response headers */
  committed(answer: FdsAnswer | undefined): void {
    if (answer !== undefined) this.told(answer);
    else if (this.#attempts.length === 1) this.#attempts[0]?.connection.learnOfInodeServer();
    // With several attempts, it is not known which of them has no answer.
    this.#commit();
  }

  /** The server has told what it knows, in its response headers or its trailers. */
  told({ connectionId, sent }: FdsAnswer): void {
    for (const { connection } of this.#attempts) {
      if (connection.id === connectionId) {
        connection.learnOfExactServer();
        if (sent.length > 0) this.#owner.callAssigned(connection, sent);
      } else if (this.#attempts.length === 1) connection.learnOfInodeServer();
    }
  }

  ended(): void {
    this.#commit();
    this.#owner.callEnded(this);
  }

  #commit(): void {
    if (this.#committed) return;
    this.#committed = true;
    for (const turn of this.#turns) turn.leave();
    this.#owner.callCommitted(this.#attachments, this.#refusal);
    this.#attachments = [];
  }
}
