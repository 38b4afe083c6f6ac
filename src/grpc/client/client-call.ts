import type { GrpcFdError } from '../../errors.js';
import type { Connection } from '../connection.js';
import type { FdsEntry } from '../fds-metadata.js';
import type { Attachment } from './attachment.js';
import type { Turn } from './stream-queue.js';

/** The credentials that were given to a call, which tells them of its course. */
export interface ClientCallOwner {
  /** A call starts. Returns the attachments that go with it. */
  callStarted(call: ClientCall): Iterable<Attachment>;
  /** An attempt's stream starts on `connection`. */
  callBound(connection: Connection): void;
  /** The channel's connections cannot carry descriptors. */
  callUnsupported(error: GrpcFdError): void;
  /** No attempt can follow; `attachments` went with the call. */
  callCommitted(attachments: Iterable<Attachment>): void;
  callEnded(call: ClientCall): void;
}

/** One call with one of its FdCallCredentials, from its start to its status. A call with several of them has several of these. */
export class ClientCall {
  readonly #owner: ClientCallOwner;
  #attachments: Attachment[] = [];
  #committed = false;
  #attempts = 0;
  /** Where attempts wait, or have waited, for a stream. */
  readonly #turns: Turn[] = [];
  #connection: Connection | undefined;

  constructor(owner: ClientCallOwner) {
    this.#owner = owner;
  }

  /** The connection of the latest attempt whose stream started. */
  get connection(): Connection | undefined {
    return this.#connection?.isOpen ? this.#connection : undefined;
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
  bind(connection: Connection): FdsEntry[] {
    this.#attempts++;
    this.#connection = connection;
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

  /** @param answer the server's, in its response headers: see `fds-metadata.ts` */
  committed(answer: string | undefined): void {
    // With several attempts, it is not known which of them the server has answered.
    if (this.#attempts === 1) this.#connection?.learnOfServer(answer);
    this.#commit();
  }

  ended(): void {
    this.#commit();
    this.#owner.callEnded(this);
  }

  #commit(): void {
    if (this.#committed) return;
    this.#committed = true;
    for (const turn of this.#turns) turn.leave();
    this.#owner.callCommitted(this.#attachments);
    this.#attachments = [];
  }
}
