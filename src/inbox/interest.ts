import { Assignments } from './held.js';
import type { HeldDescriptors } from './held-descriptors.js';
import type { SequenceRange } from './names.js';

/**
 * Somebody who may receive idle descriptors: at a client, the credentials of calls on the connection. Without further knowledge, what came
 * may have been for any of those who were there when it came, or since. So it is closed when all of them are done, and not before. What the
 * peer has assigned is closed earlier, when those are done for whom it came.
 */
export class Interest {
  readonly #held: HeldDescriptors;
  readonly #onEnd: () => void;
  #assignments: Assignments | undefined;
  #ended = false;

  /** @internal Use `Inbox.addInterest`. */
  constructor(held: HeldDescriptors, onEnd: () => void) {
    this.#held = held;
    this.#onEnd = onEnd;
  }

  /** The peer has told that these descriptors came for this one. */
  assign(ranges: Iterable<SequenceRange>): void {
    if (this.#ended) return;
    this.#assignments ??= new Assignments();
    this.#held.assign(ranges, this.#assignments);
  }

  /** It is done. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#assignments !== undefined) this.#held.endAssignments(this.#assignments);
    this.#onEnd();
  }
}
