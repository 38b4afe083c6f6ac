import { GrpcFdError } from '../errors.js';
import { CallScope, type ConnectionState } from './call-scope.js';
import { type Clock, systemClock } from './clock.js';
import { type DescriptorOperations, type Held, HeldDescriptors } from './held-descriptors.js';
import { DEFAULT_LIMITS, type InboxLimits } from './limits.js';
import {
  type Arrival,
  type DescriptorName,
  describeName,
  type Inode,
  type InodeName,
  type SequenceName,
} from './names.js';
import { SequenceCounter } from './sequence-counter.js';
import { SequenceSet } from './sequence-set.js';
import { failWaits, type Wait, type Waiter, Waits } from './waits.js';

/** How many inodes of what was handed over are remembered, so that a URL fails at once instead of waiting. */
const MAX_RECEIVED_INODES = 1024;

/** Counters of one {@link Inbox}. */
export interface InboxStats {
  /** Held now, those of running calls included. */
  readonly heldFds: number;
  /** Held now for running calls. */
  readonly claimedFds: number;
  readonly pendingReceives: number;
  /** Came in since the connection began. */
  readonly receivedFds: number;
  /** Closed because of `maxHeldFds`. */
  readonly evictedFds: number;
  /** Closed because of `holdMs`. */
  readonly expiredFds: number;
  /** Closed because a newer descriptor of the same inode came from a peer without exact references. */
  readonly supersededFds: number;
}

/**
 * Which received descriptor belongs to whom, on one connection. Bookkeeping only: what arrives is handed to
 * {@link arrive}, and the syscalls and the clock are given from outside.
 *
 * The inbox owns what arrived until the call that claimed it ends; what no call claimed, until a limit or
 * the hold time closes it, or the connection closes. By sequence number a receiver is given what came, once; by inode, a
 * duplicate.
 */
export class Inbox {
  /**
   * The peer is this package. It can name each of several descriptors with one inode; so none of them is
   * closed in favour of a newer one. Set it as soon as the peer shows it.
   */
  exactPeer = false;

  /** The peer is known to name descriptors by inode and in no other way, like the Go package. */
  inodePeer = false;

  readonly #operations: DescriptorOperations;
  readonly #state: ConnectionState;
  readonly #incoming = new SequenceCounter();
  #closedBy: GrpcFdError | undefined;
  /** Inodes of what an exact peer sent and was handed over, the latest last. */
  readonly #receivedInodes = new Set<Inode>();

  constructor(
    operations: DescriptorOperations,
    limits: InboxLimits = DEFAULT_LIMITS,
    clock: Clock = systemClock,
  ) {
    this.#operations = operations;
    this.#state = {
      held: new HeldDescriptors(operations, limits, clock),
      waits: new Waits(),
      received: new SequenceSet(),
      overLimit: new SequenceSet(),
      limits,
      lastGoodSequence: Number.POSITIVE_INFINITY,
    };
  }

  get closed(): boolean {
    return this.#closedBy !== undefined;
  }

  /**
   * Takes descriptors in the order in which they came, owns each from now on, and gives every receiver that
   * waits for one of them its own duplicate. On a closed inbox they are closed at once.
   */
  arrive(arrivals: readonly Arrival[]): void {
    if (this.#closedBy !== undefined) {
      this.#operations.closeAll(arrivals.map(({ fd }) => fd));
      return;
    }
    // The bookkeeping is done before the first waiter is called, because a waiter may call anything.
    const { held, waits } = this.#state;
    const deliveries: Delivery[] = [];
    for (const arrival of arrivals) {
      if (this.inodePeer) held.advance();
      // Never among what comes together: that may be the first call of an exact peer, not known as one yet.
      if (!this.exactPeer) held.supersede(arrival.inode);
      const arrived = held.add(arrival, this.#incoming.next());
      this.#receivedInodes.delete(arrival.inode);
      if (arrived.isPlaceholder) continue;
      for (const wait of waits.takeInode(arrival.inode)) deliveries.push(this.#prepare(wait, arrived));
    }
    held.evict();
    for (const delivery of deliveries) this.#deliver(delivery);
  }

  /**
   * The kernel dropped descriptors (MSG_CTRUNC) behind those that {@link arrive} was just given. How many is
   * not known, so from here on no sequence number is to be trusted. Every wait fails, and so does every later
   * one on this connection: what was lost and what is late look the same.
   */
  lose(): void {
    if (this.#closedBy !== undefined) return;
    this.#state.lastGoodSequence = Math.min(this.#state.lastGoodSequence, this.#incoming.last);
    failWaits(this.#state.waits.takeAll(), descriptorsLost());
  }

  /** For the receiving side of a call. Ending it is up to the caller. */
  openCall(): CallScope {
    this.#state.held.advance();
    return new CallScope(this.#state);
  }

  /**
   * Receives under a name what is here. By sequence number the very descriptor that came is handed over, and with `keep` a
   * duplicate. By inode it is always a duplicate, since a URL names a file and not a sending: of the newest of its inode, first among
   * what the call of `scope` claimed, then among what no running call claims. What this returns is the caller's own.
   *
   * @returns undefined where nothing of that inode is here: it may still come.
   * @throws GrpcFdError when it can not come: `ALREADY_RECEIVED`, `NOT_FOUND`, `TOO_MANY_DESCRIPTORS`, `DESCRIPTORS_LOST`,
   * `REFERENCE_MISMATCH` for a sequence number; `CALL_ENDED`; `RECEIVE_FAILED` when duplicating failed; what {@link close} was given.
   */
  take(name: SequenceName, scope?: CallScope, keep?: boolean): number;
  take(name: DescriptorName, scope?: CallScope, keep?: boolean): number | undefined;
  take(name: DescriptorName, scope?: CallScope, keep = false): number | undefined {
    this.#assertOpen(scope);
    if (name.kind === 'sequence') {
      const exact = this.#exact(name, scope);
      if (keep) return this.#duplicate(exact, name);
      this.#state.received.add(exact.sequence);
      if (this.exactPeer) this.#rememberReceived(exact.inode);
      return this.#state.held.handOver(exact);
    }
    const held = this.#state.held.newest(name.inode, scope?.claims);
    if (held === undefined) {
      // An exact peer that sends the file again gives it a name of its own.
      if (this.#receivedInodes.has(name.inode)) throw alreadyReceived(name);
      return undefined;
    }
    const fd = this.#duplicate(held, name);
    // What came with it has come by now, both ends of a pipe for one; see `arrive`.
    this.#state.held.advance();
    return fd;
  }

  /** Throws what {@link take} would throw. Receives nothing. */
  check(name: SequenceName, scope?: CallScope): void {
    this.#assertOpen(scope);
    this.#exact(name, scope);
  }

  /** Whether the descriptor of that sequence number has been handed over. */
  hasHandedOver(sequence: number): boolean {
    // The set may count a number as its own that lies between two others, and that is held all the same.
    return this.#state.received.has(sequence) && this.#state.held.bySequence(sequence) === undefined;
  }

  /** Closes what is held for no running call: everybody who could name it is done. */
  closeIdle(): void {
    this.#state.held.closeIdle();
  }

  /**
   * Waits for the next arrival of an inode, without looking at what is held. The wait ends with the call of
   * `scope`.
   *
   * @returns withdraws the wait: the waiter is not called any more.
   * @throws GrpcFdError `TOO_MANY_RECEIVES`; `DESCRIPTORS_LOST` once {@link lose} was called; `CALL_ENDED`;
   * what {@link close} was given.
   */
  wait(name: InodeName, waiter: Waiter, scope?: CallScope): () => void {
    this.#assertOpen(scope);
    const { waits, limits, lastGoodSequence } = this.#state;
    if (lastGoodSequence !== Number.POSITIVE_INFINITY) throw descriptorsLost();
    if (waits.size >= limits.maxPendingReceives) {
      throw new GrpcFdError(
        'ERR_GRPCFD_TOO_MANY_RECEIVES',
        `${waits.size} receivers wait on this connection, which is its maxPendingReceives`,
      );
    }
    const wait: Wait = { waiter, inode: name.inode, group: scope?.waits, withdrawn: false };
    waits.add(wait);
    return () => {
      wait.withdrawn = true;
      waits.remove(wait);
    };
  }

  /**
   * Closes everything held and fails every wait with `error`, which later calls of {@link take} and {@link
   * wait} throw. Idempotent: the first error stays.
   */
  close(error: GrpcFdError): void {
    if (this.#closedBy !== undefined) return;
    this.#closedBy = error;
    this.#state.held.closeAll();
    failWaits(this.#state.waits.takeAll(), error);
  }

  stats(): InboxStats {
    const { held, waits } = this.#state;
    return {
      heldFds: held.size,
      claimedFds: held.size - held.idle,
      pendingReceives: waits.size,
      receivedFds: this.#incoming.last,
      evictedFds: held.evicted,
      expiredFds: held.expired,
      supersededFds: held.superseded,
    };
  }

  #assertOpen(scope: CallScope | undefined): void {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    scope?.assertRunning();
  }

  #exact(name: SequenceName, scope: CallScope | undefined): Held {
    if (name.sequence > this.#state.lastGoodSequence) throw descriptorsLost();
    const held = this.#state.held.bySequence(name.sequence);
    if (held === undefined) {
      if (this.#state.received.has(name.sequence)) throw alreadyReceived(name);
      if (this.#state.overLimit.has(name.sequence)) throw overLimit(name, this.#state.limits.maxFdsPerCall);
      throw new GrpcFdError('ERR_GRPCFD_NOT_FOUND', whyAbsent(name, this.#incoming.last));
    }
    if (held.claims !== undefined && held.claims !== scope?.claims) {
      throw new GrpcFdError('ERR_GRPCFD_NOT_FOUND', `${describeName(name)} came for another call`);
    }
    if (held.isPlaceholder) {
      throw new GrpcFdError(
        'ERR_GRPCFD_NOT_FOUND',
        `${describeName(name)} was not sent: the kernel of its sender refused to send it, or it was the sender's end of this connection`,
      );
    }
    if (name.inode !== undefined && name.inode !== held.inode) {
      throw new GrpcFdError(
        'ERR_GRPCFD_REFERENCE_MISMATCH',
        `${describeName(name)} should be inode://${name.inode}, but inode://${held.inode} arrived`,
      );
    }
    return held;
  }

  #duplicate(held: Held, name: DescriptorName): number {
    try {
      return this.#state.held.duplicate(held);
    } catch (cause) {
      throw duplicateFailed(name, cause);
    }
  }

  #rememberReceived(inode: Inode): void {
    this.#receivedInodes.delete(inode);
    this.#receivedInodes.add(inode);
    if (this.#receivedInodes.size <= MAX_RECEIVED_INODES) return;
    const [oldest] = this.#receivedInodes;
    if (oldest !== undefined) this.#receivedInodes.delete(oldest);
  }

  #prepare(wait: Wait, held: Held): Delivery {
    try {
      return { wait, fd: this.#state.held.duplicate(held) };
    } catch (cause) {
      return { wait, error: duplicateFailed({ kind: 'inode', inode: held.inode }, cause) };
    }
  }

  #deliver(delivery: Delivery): void {
    const { wait } = delivery;
    if ('error' in delivery) failWaits([wait], delivery.error);
    else if (wait.withdrawn) this.#operations.close(delivery.fd);
    else wait.waiter.arrived(delivery.fd);
  }
}

/** What a waiter that was removed from the waits is about to be told. */
type Delivery =
  | { readonly wait: Wait; readonly fd: number }
  | { readonly wait: Wait; readonly error: GrpcFdError };

export function descriptorsLost(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_DESCRIPTORS_LOST',
    'the kernel dropped descriptors (MSG_CTRUNC): the descriptor table was full, or a security module refused',
  );
}

function alreadyReceived(name: DescriptorName): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_ALREADY_RECEIVED',
    `${describeName(name)} has been received: the first receive handed it over; with { keep: true } it would have left it for the next`,
  );
}

function overLimit(name: DescriptorName, maxFdsPerCall: number): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_TOO_MANY_DESCRIPTORS',
    `${describeName(name)} was closed: its call brought more than ${maxFdsPerCall} descriptors (maxFdsPerCall)`,
  );
}

function whyAbsent(name: SequenceName, last: number): string {
  if (name.sequence < 1) return 'the descriptor was not sent: its sender had let go of it before';
  return name.sequence > last
    ? `${describeName(name)} did not arrive: only ${last} came`
    : `${describeName(name)} is not held any more: its call ended, its hold time passed, or a limit was hit`;
}

function duplicateFailed(name: DescriptorName, cause: unknown): GrpcFdError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new GrpcFdError(
    'ERR_GRPCFD_RECEIVE_FAILED',
    `${describeName(name)} could not be duplicated: ${text}`,
    { cause },
  );
}
