import { type Clock, MAX_TIMER_MS } from './clock.js';
import { InodeIndex } from './inode-index.js';
import type { InboxLimits } from './limits.js';
import { type Link, LinkedList } from './linked-list.js';
import type { Arrival, ClaimEntry, Inode } from './names.js';

/** The syscalls on descriptors that the inbox needs. */
export interface DescriptorOperations {
  /** A new CLOEXEC descriptor of the same open file; throws a Node-style error (EMFILE). */
  duplicate(fd: number): number;
  /** The descriptor is somebody else's to close from now on. Must not throw. */
  unguard(fd: number): void;
  /** Must not throw: the inbox closes only what it owns. */
  close(fd: number): void;
  /** The same, for many: in as few syscalls as it takes. */
  closeAll(fds: readonly number[]): void;
}

/**
 * How long a descriptor is safe from eviction after it came. A burst of calls is read within milliseconds; a second covers an
 * event loop that is blocked for a while.
 */
const EVICTION_GRACE_MS = 1_000;

/** How many times `maxHeldFds` a burst may bring: a peer that only sends descriptors must not fill the table all the same. */
const BURST_FACTOR = 8;

/** A descriptor that the connection owns. */
class Held {
  readonly fd: number;
  readonly inode: Inode;
  readonly sequence: number;
  readonly generation: number;
  readonly isPlaceholder: boolean;
  lastUsedAt: number;
  /** The call it came for. Without one it is idle: limits and hold time apply. */
  claims: Claims | undefined;
  /** Its place among the idle ones. */
  idleLink: Link<Held> | undefined;
  /** Its place among the idle ones of its inode. */
  inodeLink: Link<Held> | undefined;
  /** Its receiver has it. */
  handedOver = false;

  constructor(arrival: Arrival, sequence: number, generation: number, now: number) {
    this.fd = arrival.fd;
    this.inode = arrival.inode;
    this.sequence = sequence;
    this.generation = generation;
    this.isPlaceholder = arrival.isPlaceholder === true;
    this.lastUsedAt = now;
  }
}

export type { Held };

function mayBeNamedByInode({ handedOver, isPlaceholder }: Held): boolean {
  return !handedOver && !isPlaceholder;
}

/** What came for one call. */
export class Claims {
  readonly inOrder: Held[] = [];
  /** Made when the first name is an inode: exact ones are looked up by their place. */
  #newest: Map<Inode, Held> | undefined;

  add(held: Held): void {
    this.inOrder.push(held);
    if (mayBeNamedByInode(held)) this.#newest?.set(held.inode, held);
  }

  newest(inode: Inode): Held | undefined {
    this.#newest ??= new Map(this.inOrder.filter(mayBeNamedByInode).map((held) => [held.inode, held]));
    return this.#newest.get(inode);
  }

  /** One of them has been handed over. */
  changed(): void {
    this.#newest = undefined;
  }
}

/**
 * The descriptors that one connection holds, and the limits on them. It owns each from {@link add} on, and
 * closes it once. No operation walks over the others. There is one timer while anything is idle, for at most `holdMs` longer,
 * and another while more is idle than `maxHeldFds`.
 */
export class HeldDescriptors {
  readonly #operations: DescriptorOperations;
  readonly #limits: InboxLimits;
  readonly #clock: Clock;
  readonly #bySequence = new Map<number, Held>();
  /** Least recently used first, which is also the order in which hold times end. */
  readonly #idle = new LinkedList<Held>();
  readonly #idleByInode = new InodeIndex<Held>();
  #generation = 0;
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

  /** Takes the descriptor. May leave more than `maxHeldFds` idle, until {@link evict}. */
  add(arrival: Arrival, sequence: number): Held {
    const held = new Held(arrival, sequence, this.#generation, this.#clock.now());
    this.#bySequence.set(sequence, held);
    held.idleLink = this.#idle.append(held);
    if (!held.isPlaceholder) held.inodeLink = this.#idleByInode.add(held.inode, held);
    this.#arm();
    return held;
  }

  /** Marks what is held by now as old enough for {@link supersede}. */
  advance(): void {
    this.#generation++;
  }

  /**
   * Closes the idle descriptors of an inode that came before the last {@link advance}. A peer that has only
   * URLs cannot name them any more once a newer one is here, and a Go peer may send one file again and again.
   */
  supersede(inode: Inode): void {
    let oldest = this.#idleByInode.oldest(inode);
    while (oldest !== undefined && oldest.generation < this.#generation) {
      this.#superseded++;
      this.#close(oldest);
      oldest = this.#idleByInode.oldest(inode);
    }
  }

  /**
   * Closes the least recently used idle descriptors above `maxHeldFds`. What has just come is spared: descriptors run ahead of
   * the bytes that say which call they came for, and many calls that start together bring many.
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
   * A duplicate, the caller's own. Counts as use. Throws what `duplicate` throws; the descriptor stays held
   * either way.
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

  /** Gives the descriptor away: it is the receiver's from now on. */
  handOver(held: Held): number {
    held.handedOver = true;
    held.claims?.changed();
    this.#removeFromIdle(held);
    this.#bySequence.delete(held.sequence);
    this.#operations.unguard(held.fd);
    return held.fd;
  }

  /**
   * Moves an idle descriptor to a call. False, and nothing changes, unless it is there, idle, and of that
   * inode.
   */
  claim(entry: ClaimEntry, claims: Claims): boolean {
    const held = this.#bySequence.get(entry.sequence);
    if (held === undefined || held.claims !== undefined || held.inode !== entry.inode) return false;
    this.#removeFromIdle(held);
    held.claims = claims;
    claims.add(held);
    return true;
  }

  /** Closes what a call claimed, unless {@link closeAll} did already. */
  release(claims: Claims): void {
    const fds: number[] = [];
    for (const held of claims.inOrder) if (this.#bySequence.delete(held.sequence)) fds.push(held.fd);
    this.#operations.closeAll(fds);
  }

  /** Closes what no running call claims. */
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

  /** For when the burst that {@link evict} spared is a burst no more. */
  #armEviction(): void {
    this.#cancelEviction ??= this.#clock.schedule(() => {
      this.#cancelEviction = undefined;
      this.evict();
    }, EVICTION_GRACE_MS);
  }

  /**
   * One timer, set for the descriptor whose hold time ends first. Use moves that end back without touching
   * the timer, which then finds nothing to close and is set again. A call that claims the last idle one leaves it running, too:
   * the next call brings another.
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
