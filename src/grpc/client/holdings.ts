import type { Interest } from '../../inbox/interest.js';
import type { SequenceRange } from '../../inbox/names.js';
import { closeTogether } from '../../native/close-together.js';
import type { Connection } from '../connection.js';
import type { Attachment, Reason } from './attachment.js';

/**
 * What is open on behalf of one FdCallCredentials. It stands apart from these, so that what they leave behind can be closed when
 * they have been collected.
 */
export class Holdings {
  /** Descriptors that the next call takes along, and those that running calls may need for another attempt. */
  readonly attachments = new Set<Attachment>();
  /** Connections on which something may have come for the calls of these credentials. */
  readonly #interests = new Map<Connection, Interest>();
  #closed = false;

  /** Nobody can receive any more: an interest lasts until the calls that run have ended, so that what comes for them is closed then. */
  get closed(): boolean {
    return this.#closed;
  }

  addInterest(connection: Connection): void {
    if (!this.#interests.has(connection)) this.#interests.set(connection, connection.inbox.addInterest());
  }

  /** The server has told that these descriptors came for a call of these credentials. */
  assign(connection: Connection, ranges: Iterable<SequenceRange>): void {
    this.#interests.get(connection)?.assign(ranges);
  }

  /** Call this when no descriptor that came for the calls so far will be received any more. */
  endInterests(): void {
    for (const interest of this.#interests.values()) interest.end();
    this.#interests.clear();
  }

  /** Releases everything. `reason` makes the error for descriptors that were not sent. */
  close(reason: Reason): void {
    this.#closed = true;
    closeTogether(() => {
      for (const attachment of this.attachments) attachment.release(reason);
    });
    this.attachments.clear();
    this.endInterests();
  }
}
