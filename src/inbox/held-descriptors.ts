import { type Clock, MAX_TIMER_MS } from './clock.js';
import { InodeIndex } from './inode-index.js';
import type { InboxLimits } from './limits.js';
import { type Link, LinkedList } from './linked-list.js';
import type { Arrival, ClaimEntry, Inode } from './names.js';

/** The syscalls on descriptors that the inbox uses. */
export interface DescriptorOperations {
  /** A new CLOEXEC descriptor of the same open file; throws a Node-style error (EMFILE). */
  duplicate(fd: number): number;
  /** Another owner closes the descriptor from now on. Must not throw. */
  unguard(fd: number): void;
  /** Must not throw. The inbox closes only descriptors that it owns. */
  close(fd: number): void;
  /** The same for several, in as few native calls as possible. */
  closeAll(fds: readonly number[]): void;
}

/**
 * How long a descriptor is safe from eviction after it came. A burst of calls is read within milliseconds. The rest of the second is for
 * an event loop that is blocked for a while.
 */
const EVICTION_GRACE_MS = 1_000;

/** The limit of a burst, as a multiple of `maxHeldFds`: a peer that sends nothing but descriptors must not fill the table. */
const BURST_FACTOR = 8;

/** A descriptor that the connection owns. */
class Held {
  readonly fd: number;
  readonly inode: Inode;
  readonly sequence: number;
  readonly isPlaceholder: boolean;
  lastUsedAt: number;
  /** The claims of its call. Without any it is idle, and `maxHeldFds` and `holdMs` apply to it. */
  claims: Claims | undefined;
  /** Its link in the list of idle descriptors. */
  idleLink: Link<Held> | undefined;
  /** Its link in the list of idle descriptors of its inode. */
  inodeLink: Link<Held> | undefined;
  /** A receiver owns the descriptor now. */
  handedOver = false;

  constructor(arrival: Arrival, sequence: number, now: number) {
    this.fd = arrival.fd;
    this.inode = arrival.inode;
    this.sequence = sequence;
    this.isPlaceholder = arrival.isPlaceholder === true;
    this.lastUsedAt = now;
  }
}

export type { Held };

function mayBeNamedByInode({ handedOver, isPlaceholder }: Held): boolean {
  return !handedOver && !isPlaceholder;
}

/** The descriptors that one call claimed. */
export class Claims {
  readonly inOrder: Held[] = [];
  /** Made at the first receive by inode. Exact names are looked up by sequence number. */
  #newest: Map<Inode, Held> | undefined;

  add(held: Held): void {
    this.inOrder.push(held);
    if (mayBeNamedByInode(held)) this.#newest?.set(held.inode, held);
  }

  newest(inode: Inode): Held | undefined {
    this.#newest ??= new Map(this.inOrder.filter(mayBeNamedByInode).map((held) => [held.inode, held]));
    return this.#newest.get(inode);
  }

  /** Call this when one of the descriptors has been handed over. */
  changed(): void {
    this.#newest = undefined;
  }
}

/**
 * The descriptors that one connection holds, and the limits on them. It owns each of them from {@link add} on, and closes it once. No
 * operation on one descriptor takes time that grows with the number of the others. One timer runs while any descriptor is idle, and up
 * to `holdMs` longer. Another one runs while more than `maxHeldFds` are idle.
 */
export class HeldDescriptors {
  readonly #operations: DescriptorOperations;
  readonly #limits: InboxLimits;
  readonly #clock: Clock;
  readonly #bySequence = new Map<number, Held>();
  /** Least recently used first, which is also the order in which hold times end. */
  readonly #idle = new LinkedList<Held>();
  readonly #idleByInode = new InodeIndex<Held>();
  #cancelTimer: (() => void) | undefined;
  #cancelEviction: (() => void) | undefined;
  #evicted = 0;
  #expired = 0;
  #superseded = 0;

  constructor(operations: DescriptorOperations, limits: InboxLimits, clock: Clock) {
    this.#operations = operations;
    this.#limits = limits;
    this.#clock = clock;
  }

  get size(): number {
    return this.#bySequence.size;
  }

  get idle(): number {
    return this.#idle.size;
  }

  get evicted(): number {
    return this.#evicted;
  }

  get expired(): number {
    return this.#expired;
  }

  get superseded(): number {
    return this.#superseded;
  }

  /** Takes ownership of the descriptor. More than `maxHeldFds` may be idle then, until {@link evict}. */
  add(arrival: Arrival, sequence: number): Held {
    const held = new Held(arrival, sequence, this.#clock.now());
    this.#bySequence.set(sequence, held);
    held.idleLink = this.#idle.append(held);
    if (!held.isPlaceholder) held.inodeLink = this.#idleByInode.add(held.inode, held);
    this.#arm();
    return held;
  }

  /**
   * Closes the idle descriptors of an inode, because a newer one comes from an inode peer. That peer cannot name the older ones any more,
   * and may send one file again and again.
   */
  supersede(inode: Inode): void {
    let held = this.#idleByInode.newest(inode);
    while (held !== undefined) {
      this.#superseded++;
      this.#close(held);
      held = this.#idleByInode.newest(inode);
    }
  }

  /**
   * Closes the least recently used idle descriptors above `maxHeldFds`. New ones are spared: descriptors come before the bytes that tell
   * which call claims them, and many calls that start together bring many.
   */
  evict(): void {
    const { maxHeldFds } = this.#limits;
    const graceBegan = this.#clock.now() - EVICTION_GRACE_MS;
    let first = this.#idle.first?.value;
    while (first !== undefined && this.#idle.size > maxHeldFds) {
      if (first.lastUsedAt > graceBegan && this.#idle.size <= maxHeldFds * BURST_FACTOR) break;
      this.#evicted++;
      this.#close(first);
      first = this.#idle.first?.value;
    }
    if (this.#idle.size > maxHeldFds) this.#armEviction();
  }

  bySequence(sequence: number): Held | undefined {
    return this.#bySequence.get(sequence);
  }

  /** The newest of an inode: first among those of the call, then among the idle ones. */
  newest(inode: Inode, claims: Claims | undefined): Held | undefined {
    return claims?.newest(inode) ?? this.#idleByInode.newest(inode);
  }

  /**
   * A duplicate that belongs to the caller. It counts as a use of the descriptor, which stays held.
   *
   * @throws the error of {@link DescriptorOperations.duplicate}
   */
  duplicate(held: Held): number {
    const fd = this.#operations.duplicate(held.fd);
    if (held.idleLink !== undefined) {
      held.lastUsedAt = this.#clock.now();
      this.#idle.remove(held.idleLink);
      held.idleLink = this.#idle.append(held);
    }
    return fd;
  }

  /** Gives the descriptor to a receiver, who owns it from now on. */
  handOver(held: Held): number {
    held.handedOver = true;
    held.claims?.changed();
    this.#removeFromIdle(held);
    this.#bySequence.delete(held.sequence);
    this.#operations.unguard(held.fd);
    return held.fd;
  }

  /**
   * Gives an idle descriptor to a call. False, and nothing changes, unless it is held, idle, and has the inode of the entry.
   */
  claim(entry: ClaimEntry, claims: Claims): boolean {
    const held = this.#bySequence.get(entry.sequence);
    if (held === undefined || held.claims !== undefined || held.inode !== entry.inode) return false;
    this.#removeFromIdle(held);
    held.claims = claims;
    claims.add(held);
    return true;
  }

  /** Closes the descriptors that a call claimed, unless {@link closeAll} has closed them. */
  release(claims: Claims): void {
    const fds: number[] = [];
    for (const held of claims.inOrder) if (this.#bySequence.delete(held.sequence)) fds.push(held.fd);
    this.#operations.closeAll(fds);
  }

  /** Closes all idle descriptors. */
  closeIdle(): void {
    const fds: number[] = [];
    for (let first = this.#idle.first?.value; first !== undefined; first = this.#idle.first?.value) {
      this.#removeFromIdle(first);
      this.#bySequence.delete(first.sequence);
      fds.push(first.fd);
    }
    this.#operations.closeAll(fds);
  }

  /** Closes an idle descriptor of that inode. False, and nothing changes, unless it is there. */
  closeUnclaimed(entry: ClaimEntry): boolean {
    const held = this.#bySequence.get(entry.sequence);
    if (held === undefined || held.claims !== undefined || held.inode !== entry.inode) return false;
    this.#close(held);
    return true;
  }

  closeAll(): void {
    const all = [...this.#bySequence.values()];
    for (const held of all) {
      this.#removeFromIdle(held);
      this.#bySequence.delete(held.sequence);
    }
    this.#operations.closeAll(all.map(({ fd }) => fd));
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** Closes an idle descriptor. */
  #close(held: Held): void {
    this.#removeFromIdle(held);
    this.#bySequence.delete(held.sequence);
    this.#operations.close(held.fd);
  }

  #removeFromIdle(held: Held): void {
    if (held.idleLink === undefined) return;
    this.#idle.remove(held.idleLink);
    held.idleLink = undefined;
    if (held.inodeLink !== undefined) this.#idleByInode.remove(held.inode, held.inodeLink);
    held.inodeLink = undefined;
    if (this.#idle.size <= this.#limits.maxHeldFds) {
      this.#cancelEviction?.();
      this.#cancelEviction = undefined;
    }
  }

  /** Evicts later the descriptors that {@link evict} spared. */
  #armEviction(): void {
    this.#cancelEviction ??= this.#clock.schedule(() => {
      this.#cancelEviction = undefined;
      this.evict();
    }, EVICTION_GRACE_MS);
  }

  /**
   * Sets one timer for the descriptor whose hold time ends first. A use of that descriptor does not change the timer, which finds nothing
   * to close then, and is set again. A call that claims the last idle descriptor does not stop it, either, because the next call brings
   * others.
   */
  #arm(): void {
    const first = this.#idle.first?.value;
    if (first === undefined || this.#cancelTimer !== undefined) return;
    if (this.#limits.holdMs === Number.POSITIVE_INFINITY) return;
    const remainingMs = Math.ceil(first.lastUsedAt + this.#limits.holdMs - this.#clock.now());
    this.#cancelTimer = this.#clock.schedule(
      () => {
        this.#cancelTimer = undefined;
        this.#expire();
      },
      Math.min(Math.max(remainingMs, 1), MAX_TIMER_MS),
    );
  }

  #expire(): void {
    const expiredBefore = this.#clock.now() - this.#limits.holdMs;
    let first = this.#idle.first?.value;
    while (first !== undefined && first.lastUsedAt <= expiredBefore) {
      this.#expired++;
      this.#close(first);
      first = this.#idle.first?.value;
    }
    this.#arm();
  }
}
