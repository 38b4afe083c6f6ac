import { GrpcFdError } from '../errors.js';
import { Claims, type Held, type HeldUser } from './held.js';
import type { HeldDescriptors } from './held-descriptors.js';
import type { InboxLimits } from './limits.js';
import type { ClaimEntry } from './names.js';
import type { SequenceSet } from './sequence-set.js';
import { failWaits, type Wait, type Waits } from './waits.js';

/** The state that an inbox shares with the scopes of its calls. */
export interface ConnectionState {
  readonly held: HeldDescriptors;
  readonly waits: Waits;
  /** Sequence numbers of the descriptors that receivers have. */
  readonly received: SequenceSet;
  /** Sequence numbers of the descriptors that were closed because their call brought too many. */
  readonly overLimit: SequenceSet;
  readonly limits: InboxLimits;
  /** Higher sequence numbers name nothing, because descriptors were lost. */
  lastGoodSequence: number;
}

/** The claimed descriptors and the waits of one call. It costs next to nothing for a call without any. */
export class CallScope implements HeldUser {
  readonly #connection: ConnectionState;
  #claims: Claims | undefined;
  #waits: Set<Wait> | undefined;
  #listeners: Set<() => void> | undefined;
  /** Idle descriptors of which the call has received a duplicate. It may ask for them again. */
  #used: Set<Held> | undefined;
  #ended = false;

  /** @internal Use `Inbox.openCall`. */
  constructor(connection: ConnectionState) {
    this.#connection = connection;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Claims descriptors that arrived for this call: the connection holds them until {@link end}, and no other call can take them. An entry
   * that is not right (it never arrived, has another inode, or is claimed by another call) is skipped, and only a `take` of it fails.
   * A descriptor above `maxFdsPerCall` is closed, and a `take` of it says so.
   */
  claim(entries: Iterable<ClaimEntry>): void {
    if (this.#ended) return;
    const { held, limits, lastGoodSequence, overLimit } = this.#connection;
    for (const entry of entries) {
      if (entry.sequence > lastGoodSequence) continue;
      if ((this.#claims?.inOrder.length ?? 0) >= limits.maxFdsPerCall) {
        if (held.closeUnclaimed(entry)) overLimit.add(entry.sequence);
        continue;
      }
      this.#claims ??= new Claims();
      held.claim(entry, this.#claims);
    }
  }

  /** Closes the claimed descriptors, and fails the waits of the call with `ERR_GRPCFD_CALL_ENDED`. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const claims = this.#claims;
    const waits = this.#waits;
    const listeners = this.#listeners;
    const used = this.#used;
    this.#claims = undefined;
    this.#waits = undefined;
    this.#listeners = undefined;
    this.#used = undefined;
    if (claims !== undefined) this.#connection.held.release(claims);
    if (waits !== undefined) failWaits(this.#connection.waits.takeGroup(waits), callEnded());
    for (const held of used ?? []) {
      held.users--;
      this.#connection.held.markDone(held);
    }
    for (const listener of listeners ?? []) listener();
  }

  /** Calls `listener` when the call ends. It must not throw. */
  onEnd(listener: () => void): void {
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
  }

  offEnd(listener: () => void): void {
    this.#listeners?.delete(listener);
  }

  /** The call has received a duplicate of this one. */
  use(held: Held): void {
    if (this.#ended || this.#used?.has(held)) return;
    this.#used ??= new Set();
    this.#used.add(held);
    held.users++;
  }

  /** @internal */
  get claims(): Claims | undefined {
    return this.#claims;
  }

  /** @internal The waits within this call. */
  get waits(): Set<Wait> {
    this.#waits ??= new Set();
    return this.#waits;
  }

  /** @internal */
  assertRunning(): void {
    if (this.#ended) throw callEnded();
  }
}

function callEnded(): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_CALL_ENDED', 'the call ended before the descriptor was received');
}
