import type { GrpcFdError } from '../errors.js';
import type { Attachment } from './attachment.js';
import type { Connection } from './connection.js';
import type { FdsEntry } from './fds-metadata.js';
import type { CallObserver } from './internals.js';

/** What a call tells the credentials that it was given. */
export interface CallUseOwner {
  readonly id: string;
  /** A call starts: the attachments that go with it. */
  callStarted(use: CallUse): Iterable<Attachment>;
  /** An attempt's stream starts on `connection`. */
  callBound(use: CallUse, connection: Connection): void;
  /** The channel's connections cannot carry descriptors. */
  callUnsupported(use: CallUse, error: GrpcFdError): void;
  /** No attempt can follow; `attachments` went with the call. */
  callCommitted(use: CallUse, attachments: Iterable<Attachment>): void;
  callEnded(use: CallUse): void;
}

/** One call's use of one FdCallCredentials, from its start to its status. */
export class CallUse implements CallObserver {
  readonly #owner: CallUseOwner;
  readonly #attachments = new Set<Attachment>();
  #committed = false;
  #connection: Connection | undefined;

  constructor(owner: CallUseOwner) {
    this.#owner = owner;
  }

  /** The connection of the latest attempt whose stream started. */
  get connection(): Connection | undefined {
    return this.#connection?.isOpen ? this.#connection : undefined;
  }

  /** Has every further attempt carry `attachment`; false if none can follow. */
  add(attachment: Attachment): boolean {
    if (!this.#committed) this.#attachments.add(attachment);
    return !this.#committed;
  }

  started(): void {
    for (const attachment of this.#owner.callStarted(this)) this.#attachments.add(attachment);
  }

  /** Queues what is attached on the connection of an attempt whose stream starts in this turn. */
  bind(connection: Connection): FdsEntry[] {
    this.#connection = connection;
    this.#owner.callBound(this, connection);
    const entries: FdsEntry[] = [];
    for (const attachment of this.#attachments) {
      const entry = attachment.sendOn(connection, this.#owner.id);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  unsupported(error: GrpcFdError): void {
    this.#owner.callUnsupported(this, error);
  }

  committed(): void {
    if (this.#committed) return;
    this.#committed = true;
    this.#owner.callCommitted(this, this.#attachments);
    this.#attachments.clear();
  }

  ended(): void {
    this.committed();
    this.#owner.callEnded(this);
  }
}
