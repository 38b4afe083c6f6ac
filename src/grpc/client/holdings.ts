import { DEFAULT_LIMITS } from '../../inbox/limits.js';
import type { ReceiveSource } from '../../inbox/pending-receive.js';
import type { Attachment, Reason } from './attachment.js';

/**
 * The descriptors that are open for one FdCallCredentials. They are in an object of their own, so that they can be closed after the
 * credentials have been collected.
 */
export class Holdings {
  /** Descriptors that the next call takes along, and those that running calls may need for another attempt. */
  readonly attachments = new Set<Attachment>();
  /** Descriptors that were received, oldest first. The receiver has a duplicate, and the connection still holds its own. */
  #received: ReceiveSource[] = [];

  addReceived(source: ReceiveSource): void {
    this.#received.push(source);
    // A stream may receive any number of descriptors. By default, a connection holds no more than this.
    if (this.#received.length > DEFAULT_LIMITS.maxHeldFds) release(this.#received.splice(0, 1));
  }

  /** Closes what the connections hold of the descriptors that were received. Nobody receives them again. */
  releaseReceived(): void {
    release(this.#received.splice(0));
  }

  /** Releases everything. `reason` makes the error for descriptors that were not sent. */
  close(reason: Reason): void {
    for (const attachment of this.attachments) attachment.release(reason);
    this.attachments.clear();
    this.releaseReceived();
  }
}

function release(sources: readonly ReceiveSource[]): void {
  for (const { inbox, sequence } of sources) inbox.release(sequence);
}
