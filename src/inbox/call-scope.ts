import { GrpcFdError } from '../errors.js';
import { Claims, type HeldDescriptors } from './held-descriptors.js';
import type { InboxLimits } from './limits.js';
import type { ClaimEntry, SequenceName } from './names.js';
import type { SequenceSet } from './sequence-set.js';
import { failWaits, type Wait, type Waits } from './waits.js';

/** What an inbox shares with the scopes of its calls. */
export interface ConnectionState {
  readonly held: HeldDescriptors;
  readonly waits: Waits;
  /** Numbers of what was handed over to its receiver. */
  readonly received: SequenceSet;
  /** Numbers of what was closed because its call brought too many. */
  readonly overLimit: SequenceSet;
  readonly limits: InboxLimits;
  /** Above it no sequence number names anything: descriptors were lost. */
  lastGoodSequence: number;
}

/** The descriptors and the waiting receivers of one call. Costs next to nothing for a call without any. */
export class CallScope {
  readonly #connection: ConnectionState;
  #claims: Claims | undefined;
  #waits: Set<Wait> | undefined;
  #ended = false;

  /** @internal Use `Inbox.openCall`. */
  constructor(connection: ConnectionState) {
    this.#connection = connection;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Makes descriptors that arrived belong to this call: the connection holds them until {@link end}, and no
   * other call sees them. An entry that is not right (never arrived, of another inode, claimed by another
   * call) is left out: only the `take` that asks for it fails. What goes above `maxFdsPerCall` is closed.
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

  /** The names of what this call claimed, in the order of its claims. Empty after {@link end}. */
  received(): SequenceName[] {
    const claimed = this.#claims?.inOrder ?? [];
    return claimed.map(({ sequence, inode }) => ({ kind: 'sequence', sequence, inode }));
  }

  /** Closes what the call claimed, and fails its waits with `ERR_GRPCFD_CALL_ENDED`. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const claims = this.#claims;
    const waits = this.#waits;
    this.#claims = undefined;
    this.#waits = undefined;
    if (claims !== undefined) this.#connection.held.release(claims);
    if (waits !== undefined) failWaits(this.#connection.waits.takeGroup(waits), callEnded());
  }

  /** @internal */
  get claims(): Claims | undefined {
    return this.#claims;
  }

  /** @internal Where a wait within this call registers. */
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
