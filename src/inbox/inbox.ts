import { GrpcFdError } from '../errors.js';
import { CallScope, type ConnectionState } from './call-scope.js';
import { type Clock, systemClock } from './clock.js';
import {
  alreadyReceived,
  descriptorsDropped,
  duplicateFailed,
  overLimit,
  overTotal,
  whyAbsent,
} from './failures.js';
import type { Held, HeldUser } from './held.js';
import { type DescriptorOperations, HeldDescriptors, spareUnclaimed } from './held-descriptors.js';
import type { HeldAccount, HeldTotal } from './held-total.js';
import type { InboxWatcher } from './inbox-watcher.js';
import { Interest } from './interest.js';
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

/**
 * How the peer names descriptors.
 *
 * - `unknown`: not shown yet. None is closed for a newer one, because the peer may turn out to be exact.
 * - `exact`: the peer is this package. It can name each of several descriptors with one inode, so none is closed for a newer one.
 * - `inode`: the peer names descriptors by inode only, like the Go package. A newer descriptor of an inode replaces all older ones that
 *   no call claims. Neither a call nor a receive does that: such a peer may send a descriptor long before the HEADERS of its call.
 */
export type PeerKind = 'unknown' | 'exact' | 'inode';

/** Limit of remembered inodes of handed-over descriptors. A URL of one of them fails at once instead of waiting. */
const MAX_RECEIVED_INODES = 1024;

/** Counters of one {@link Inbox}. They are explained at `FdConnectionStats`. */
export interface InboxStats {
  readonly heldFds: number;
  readonly claimedFds: number;
  readonly pendingReceives: number;
  readonly receivedFds: number;
  readonly evictedFds: number;
  readonly expiredFds: number;
  readonly supersededFds: number;
}

/**
 * Knows which received descriptor belongs to which call and receiver, on one connection. It is bookkeeping only: {@link arrive} is given
 * what arrives, and the syscalls and the clock come from outside.
 *
 * The inbox owns each descriptor that arrived, until it is handed over to a receiver. It closes a claimed one when its call ends, and an
 * idle one when a limit or the hold time is reached, when everybody who could name it is done, or when the connection closes. A receiver
 * by inode gets a duplicate of its own.
 */
export class Inbox {
  /** The connection sets it as soon as the peer shows of which kind it is. */
  peerKind: PeerKind = 'unknown';

  readonly #operations: DescriptorOperations;
  readonly #state: ConnectionState;
  readonly #incoming = new SequenceCounter();
  #closeReason: (() => GrpcFdError) | undefined;
  #interests = 0;
  #lossReason: (() => GrpcFdError) | undefined;
  #account: HeldAccount | undefined;
  /** Inodes of descriptors of an exact peer that were handed over, the latest last. */
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

  /** Has `watcher` told of what happens to descriptors. */
  watch(watcher: InboxWatcher): void {
    this.#state.held.watcher = watcher;
  }

  /** What is held counts to `total`, for `account`. Default: for this connection alone. Nothing has arrived yet. */
  countTo(total: HeldTotal, account?: HeldAccount): void {
    const { held } = this.#state;
    held.countTo(total, account);
    account?.addMember(held);
    this.#account = account;
  }

  /**
   * For a server, whose calls claim what came for them. `tableSize` is the size of the descriptor table of this process, of which one
   * connection may use a part while its calls are on the way.
   */
  expectClaims(tableSize: () => number): void {
    const { held, limits } = this.#state;
    held.sparing = spareUnclaimed(limits, tableSize);
  }

  /**
   * Takes ownership of descriptors, in the order in which they came, and gives a duplicate to every receiver that waits for one of them. In
   * a closed inbox they are closed at once.
   */
  arrive(arrivals: readonly Arrival[]): void {
    if (this.#closeReason !== undefined) {
      this.#operations.closeAll(arrivals.map(({ fd }) => fd));
      return;
    }
    // The bookkeeping is done before the first waiter is called, because a waiter may call anything.
    const { held, waits } = this.#state;
    const deliveries: Delivery[] = [];
    for (const arrival of arrivals) {
      const arrived = held.receive(arrival, this.#incoming.next());
      if (this.peerKind === 'inode') held.supersede(arrived.inode);
      held.add(arrived);
      if (arrived.isPlaceholder) continue;
      // Of a file that came again, it is not known any more that it has been received, whether it is still here or not.
      if (this.#receivedInodes.size > 0) this.#receivedInodes.delete(arrived.inode);
      if (!held.isIndexed || waits.size === 0) continue;
      for (const wait of waits.takeInode(arrived.inode)) deliveries.push(this.#prepare(wait, arrived));
    }
    held.evict();
    for (const delivery of deliveries) this.#deliver(delivery);
  }

  /**
   * Descriptors were lost that came after those that {@link arrive} was just given. Their number is not known, so later sequence numbers
   * cannot be trusted. Every wait fails, and so does every later one on this connection, because a lost descriptor cannot be told from a
   * late one. `reason` makes the error for the first loss. Default: the kernel dropped them (MSG_CTRUNC).
   */
  lose(reason: () => GrpcFdError = descriptorsDropped): void {
    if (this.#closeReason !== undefined) return;
    this.#lossReason ??= reason;
    this.#state.lastGoodSequence = Math.min(this.#state.lastGoodSequence, this.#incoming.last);
    failWaits(this.#state.waits.takeAll(), reason());
  }

  /** The error for what was lost, if anything was. */
  get loss(): GrpcFdError | undefined {
    return this.#lossReason?.();
  }

  /** For a call on the receiving side. The caller has to end the scope. */
  openCall(): CallScope {
    return new CallScope(this.#state);
  }

  /**
   * Receives the descriptor with that name. The caller owns the result. By sequence number, the descriptor that came is handed over; with
   * `keep`, the caller gets a duplicate. By inode, the caller always gets a duplicate, since a URL names a file and not a sending. An inode
   * names the newest descriptor: first among those that the call of `scope` claimed, then among the idle ones.
   *
   * @returns undefined where no descriptor of that inode is here. It may still come.
   * @throws GrpcFdError when it cannot come: `ALREADY_RECEIVED`, `NOT_FOUND`, `TOO_MANY_DESCRIPTORS`, `DESCRIPTORS_LOST`,
   * `REFERENCE_MISMATCH` for a sequence number; `CALL_ENDED`; `RECEIVE_FAILED` when the duplicate could not be made; the error of {@link close}.
   */
  take(name: SequenceName, scope?: CallScope, keep?: boolean): number;
  take(name: DescriptorName, scope?: CallScope, keep?: boolean): number | undefined;
  take(name: DescriptorName, scope?: CallScope, keep = false): number | undefined {
    this.#assertOpen(scope);
    if (name.kind === 'sequence') {
      const exact = this.#exact(name, scope);
      if (keep) return this.#duplicate(exact, name);
      this.#state.received.add(exact.sequence);
      if (this.peerKind !== 'inode') this.#rememberReceived(exact.inode);
      const fd = this.#state.held.handOver(exact);
      this.#state.held.watcher.fdsTaken(1);
      return fd;
    }
    const held = this.#state.held.newest(name.inode, scope?.claims);
    if (held === undefined) {
      // An exact peer that sends the file again gives it a name of its own.
      if (this.#receivedInodes.has(name.inode)) throw alreadyReceived(name);
      return undefined;
    }
    const fd = this.#duplicate(held, name);
    this.#usedBy(held, scope);
    return fd;
  }

  /** Throws what {@link take} would throw. Receives nothing. `look` is called with the descriptor, which stays held, and may throw. */
  check(name: SequenceName, scope?: CallScope, look?: (fd: number) => void): void {
    this.#assertOpen(scope);
    const { fd } = this.#exact(name, scope);
    look?.(fd);
  }

  /** A descriptor that the call of `scope` has claimed, and that stays held. Undefined if it has not. */
  peek(sequence: number, scope: CallScope): number | undefined {
    const held = this.#state.held.bySequence(sequence);
    return held?.claims !== undefined && held.claims === scope.claims && !held.isPlaceholder
      ? held.fd
      : undefined;
  }

  /** Whether the descriptor of that sequence number has been handed over. */
  hasHandedOver(sequence: number): boolean {
    // The set may count a number as its own that lies between two others, and that is held all the same.
    return this.#state.received.has(sequence) && this.#state.held.bySequence(sequence) === undefined;
  }

  /** Somebody may have something to receive from now on. When the last one has ended, all idle descriptors are closed. */
  addInterest(): Interest {
    this.#interests++;
    return new Interest(this.#state.held, () => {
      this.#interests--;
      if (this.#interests === 0) this.closeIdle();
    });
  }

  /** Closes all idle descriptors. */
  closeIdle(): void {
    this.#state.held.closeIdle();
  }

  /**
   * Waits for the next descriptor of an inode, whether one is held or not. The wait ends with the call of `scope`.
   *
   * @returns a function that withdraws the wait. The waiter is not called any more then.
   * @throws GrpcFdError `TOO_MANY_RECEIVES`; `DESCRIPTORS_LOST` after {@link lose}; `CALL_ENDED`; the error of {@link close}
   */
  wait(name: InodeName, waiter: Waiter, scope?: CallScope): () => void {
    this.#assertOpen(scope);
    const { held, waits, limits } = this.#state;
    const { loss } = this;
    if (loss !== undefined) throw loss;
    if (waits.size >= limits.maxPendingReceives) {
      this.#state.held.watcher.receiveRefused();
      throw new GrpcFdError(
        'ERR_GRPCFD_TOO_MANY_RECEIVES',
        `${waits.size} receives wait on this connection, as many as its maxPendingReceives allows`,
      );
    }
    const wait: Wait = { waiter, inode: name.inode, user: scope, group: scope?.waits, withdrawn: false };
    waits.add(wait);
    held.startIndex();
    return () => {
      wait.withdrawn = true;
      waits.remove(wait);
    };
  }

  /**
   * Closes all held descriptors, and fails all waits. Later calls of {@link take} and {@link wait} throw. `reason` makes the error where one is
   * needed. Idempotent: the first reason stays.
   */
  close(reason: () => GrpcFdError): void {
    if (this.#closeReason !== undefined) return;
    this.#closeReason = reason;
    this.#state.held.closeAll();
    this.#account?.removeMember(this.#state.held);
    const waits = this.#state.waits.takeAll();
    if (waits.length > 0) failWaits(waits, reason());
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
    if (this.#closeReason !== undefined) throw this.#closeReason();
    scope?.assertRunning();
  }

  #exact(name: SequenceName, scope: CallScope | undefined): Held {
    if (name.sequence > this.#state.lastGoodSequence) throw this.loss;
    const held = this.#state.held.bySequence(name.sequence);
    if (held === undefined) {
      if (this.#state.received.has(name.sequence)) throw alreadyReceived(name);
      if (this.#state.overLimit.has(name.sequence)) throw overLimit(name, this.#state.limits.maxFdsPerCall);
      if (this.#state.held.overTotal.has(name.sequence)) throw overTotal(name);
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
    let fd: number;
    try {
      fd = this.#state.held.duplicate(held);
    } catch (cause) {
      throw duplicateFailed(name, cause);
    }
    this.#state.held.watcher.fdsTaken(1);
    return fd;
  }

  /** The peer names it by inode. It is needed until the call has ended; outside a call, it was needed for this. */
  #usedBy(held: Held, user: HeldUser | undefined): void {
    if (held.claims !== undefined || this.peerKind === 'exact') return;
    if (user === undefined) this.#state.held.markDone(held);
    else user.use(held);
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
      const fd = this.#state.held.duplicate(held);
      this.#usedBy(held, wait.user);
      return { wait, fd };
    } catch (cause) {
      return { wait, error: duplicateFailed({ kind: 'inode', inode: held.inode }, cause) };
    }
  }

  #deliver(delivery: Delivery): void {
    const { wait } = delivery;
    if ('error' in delivery) failWaits([wait], delivery.error);
    else if (wait.withdrawn) this.#operations.close(delivery.fd);
    else {
      this.#state.held.watcher.fdsTaken(1);
      wait.waiter.arrived(delivery.fd);
    }
  }
}

/** The result for a waiter that has been removed from the waits. */
type Delivery =
  | { readonly wait: Wait; readonly fd: number }
  | { readonly wait: Wait; readonly error: GrpcFdError };
