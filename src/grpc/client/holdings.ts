import { DEFAULT_LIMITS } from '../../inbox/limits.js';
import type { ReceiveSource } from '../../inbox/pending-receive.js';
import type { Attachment, Reason } from './attachment.js';

/**
 * The descriptors that are open on behalf of one FdCallCredentials. It stands apart from these, so that what they leave behind
 * can be closed when they have been collected.
 */
export class Holdings {
  /** What the next call takes along, and what running calls may need again. */
  readonly attachments = new Set<Attachment>();
  /** What was received: the receiver has a duplicate, and the connection holds on to its own. The oldest first. */
  #received: ReceiveSource[] = [];

  addReceived(source: ReceiveSource): void {
    this.#received.push(source);
    // A stream may receive without end, and a connection holds no more than this by default.
    if (this.#received.length > DEFAULT_LIMITS.maxHeldFds) release(this.#received.splice(0, 1));
  }

  /** Has the connections close what was received: its receiver wants it no more, or has it. */
  releaseReceived(): void {
    release(this.#received.splice(0));
  }

  /** Lets go of everything. `reason` tells why what was not sent never will be. */
  close(reason: Reason): void {
    for (const attachment of this.attachments) attachment.release(reason);
    this.attachments.clear();
    this.releaseReceived();
  }
}

function release(sources: readonly ReceiveSource[]): void {
  for (const { inbox, sequence } of sources) inbox.release(sequence);
}
