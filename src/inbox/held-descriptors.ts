import { type Clock, MAX_TIMER_MS } from './clock.js';
import { type Assignments, type Claims, Held } from './held.js';
import { changeDone, type HeldGroup, type HeldTotal } from './held-total.js';
import { type CloseReason, type InboxWatcher, NOBODY } from './inbox-watcher.js';
import { InodeIndex } from './inode-index.js';
import type { InboxLimits } from './limits.js';
import { LinkedList } from './linked-list.js';
import type { Arrival, ClaimEntry, Inode, SequenceRange } from './names.js';
import { SequenceSet } from './sequence-set.js';

/** The syscalls on descriptors that the inbox uses. */
export interface DescriptorOperations {
  /** A new CLOEXEC descriptor of the same open file; throws a Node-style error (EMFILE). */
  duplicate(fd: number): number;
  /** Must not throw. The inbox closes only descriptors that it owns. */
  close(fd: number): void;
  /** The same for several, in as few native calls as possible. */
  closeAll(fds: readonly number[]): void;
}

/** Which idle descriptors are safe from eviction, although more than `maxHeldFds` are idle. */
export interface Sparing {
  /** Those that came, or were received, so short a time ago. */
  readonly graceMs: number;
  /** Up to so many: a peer that sends nothing but descriptors must not fill the table. */
  readonly maxFds: () => number;
}

/** A burst of messages with descriptors is read within milliseconds. The rest is for an event loop that is blocked for a while. */
export function spareBursts(limits: InboxLimits): Sparing {
  return { graceMs: 1_000, maxFds: () => limits.maxHeldFds * 8 };
}

/**
 * At a server, descriptors come before the bytes that tell which call claims them. Many calls that start at once bring many, and their
 * handlers may block the event loop before the last call has claimed its own. A descriptor that is evicted in this time fails its call.
 */
export function spareUnclaimed(limits: InboxLimits, tableSize: () => number): Sparing {
  return { graceMs: 5_000, maxFds: () => Math.max(limits.maxHeldFds * 8, Math.floor(tableSize() / 4)) };
}

/**
 * The descriptors that one connection holds, and the limits on them. It owns each of them from {@link add} on, and closes it once. No
 * operation on one descriptor takes time that grows with the number of the others. One timer runs while any descriptor is idle, and up
 * to `holdMs` longer. Another one runs while more than `maxHeldFds` are idle.
 */
export class HeldDescriptors implements HeldGroup {
  /** What it counts to, with the connections that share the limit, if any. `account` is what loses when they hold too many. */
  #total: HeldTotal | undefined;
  #account: HeldGroup = this;
  /** Sequence numbers of what {@link evictForTotal} has closed. */
  readonly overTotal = new SequenceSet();
  watcher: InboxWatcher = NOBODY;
  readonly #operations: DescriptorOperations;
  readonly #limits: InboxLimits;
  readonly #clock: Clock;
  readonly #bySequence = new Map<number, Held>();
  /** Least recently used first, which is also the order in which hold times end. */
  readonly #idle = new LinkedList<Held>();
  /**
   * Idle ones that were received by inode, by calls that have ended: the least recently used first. Their peer sends the file again when it
   * names it in another call. They stay for a peer that does not, as long as there is room.
   */
  readonly #done = new LinkedList<Held>();
  /** Undefined until somebody asks by inode: an exact peer names nothing so. */
  #idleByInode: InodeIndex<Held> | undefined;
  #cancelTimer: (() => void) | undefined;
  #cancelEviction: (() => void) | undefined;
  #sparing: Sparing;
  #evicted = 0;
  #expired = 0;
  #superseded = 0;

  constructor(operations: DescriptorOperations, limits: InboxLimits, clock: Clock) {
    this.#operations = operations;
    this.#limits = limits;
    this.#clock = clock;
    this.#sparing = spareBursts(limits);
  }

  set sparing(sparing: Sparing) {
    this.#sparing = sparing;
  }

  /** Counts to `total` from now on, for `account`, or for itself. Nothing is held yet. */
  countTo(total: HeldTotal, account: HeldGroup = this): void {
    this.#total = total;
    this.#account = account;
    if (account === this) total.add(this);
  }

  get size(): number {
    return this.#bySequence.size;
  }

  get idle(): number {
    return this.#idle.size;
  }

  get done(): number {
    return this.#done.size;
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

  /** What came in. It is held with {@link add}. */
  receive(arrival: Arrival, sequence: number): Held {
    return new Held(arrival, sequence, this.#clock.now());
  }

  /** Takes ownership of the descriptor. More than `maxHeldFds` may be idle then, until {@link evict}. */
  add(held: Held): void {
    this.#bySequence.set(held.sequence, held);
    this.#total?.changed(1);
    held.idleLink = this.#idle.append(held);
    if (this.#idleByInode !== undefined) addTo(this.#idleByInode, held);
    this.#arm();
  }

  /**
   * Closes the idle descriptors of an inode, because a newer one comes from an inode peer. That peer cannot name the older ones any more,
   * and may send one file again and again.
   */
  supersede(inode: Inode): void {
    const index = this.startIndex();
    for (let held = index.newest(inode); held !== undefined; held = index.newest(inode)) {
      this.#superseded++;
      this.#close(held, 'superseded');
    }
  }

  /** Closes the least recently used idle descriptors above `maxHeldFds`, but for those that are spared. */
  evict(): void {
    this.#total?.evict(this.#account);
    const { maxHeldFds } = this.#limits;
    if (this.#idle.size <= maxHeldFds) return;
    const { graceMs, maxFds } = this.#sparing;
    const graceBegan = this.#clock.now() - graceMs;
    const most = maxFds();
    const fds: number[] = [];
    for (let first = this.#idle.first?.value; first !== undefined; first = this.#idle.first?.value) {
      if (this.#idle.size <= (first.lastUsedAt > graceBegan ? most : maxHeldFds)) break;
      this.#evicted++;
      this.#forget(first);
      fds.push(first.fd);
    }
    this.#closeAll(fds, 'maxHeldFds');
    if (this.#idle.size > maxHeldFds) this.#armEviction();
  }

  /** See {@link HeldGroup}. */
  letGo(count: number): void {
    const fds: number[] = [];
    for (
      let first = this.#done.first?.value;
      fds.length < count && first !== undefined;
      first = this.#done.first?.value
    ) {
      this.#forget(first);
      fds.push(first.fd);
    }
    this.#closeAll(fds, 'table full');
  }

  /** See {@link HeldGroup}. Without idle ones, the oldest that running calls have claimed, and not received, are closed. */
  evictForTotal(count: number): void {
    const fds: number[] = [];
    const take = (held: Held): void => {
      this.overTotal.add(held.sequence);
      held.claims?.changed();
      this.#forget(held);
      held.evicted = true;
      fds.push(held.fd);
    };
    while (fds.length < count && this.#done.first !== undefined) take(this.#done.first.value);
    while (fds.length < count && this.#idle.first !== undefined) take(this.#idle.first.value);
    for (const held of this.#bySequence.values()) {
      if (fds.length >= count) break;
      take(held);
    }
    this.#closeAll(fds, 'maxHeldFdsTotal');
  }

  bySequence(sequence: number): Held | undefined {
    return this.#bySequence.get(sequence);
  }

  /** The newest of an inode: first among those of the call, then among the idle ones. */
  newest(inode: Inode, claims: Claims | undefined): Held | undefined {
    return claims?.newest(inode) ?? this.startIndex().newest(inode);
  }

  /** Whether somebody has asked by inode. */
  get isIndexed(): boolean {
    return this.#idleByInode !== undefined;
  }

  /** Somebody asks by inode. From the first time on, all that is idle and all that comes is in the index. */
  startIndex(): InodeIndex<Held> {
    if (this.#idleByInode !== undefined) return this.#idleByInode;
    const index = new InodeIndex<Held>();
    this.#idleByInode = index;
    // In the order in which they came. That of the idle ones changes with their use.
    for (const held of this.#bySequence.values()) if (held.idleLink !== undefined) addTo(index, held);
    return index;
  }

  /**
   * A duplicate that belongs to the caller. It counts as a use of the descriptor, which stays held.
   *
   * @throws the error of {@link DescriptorOperations.duplicate}
   */
  duplicate(held: Held): number {
    // Where the table is full, those that nobody needs are closed. This one is needed.
    this.#removeFromDone(held);
    const fd = this.#operations.duplicate(held.fd);
    if (held.idleLink !== undefined) {
      held.lastUsedAt = this.#clock.now();
      this.#idle.remove(held.idleLink);
      held.idleLink = this.#idle.append(held);
    }
    return fd;
  }

  /** Nobody who has received a duplicate of it needs it any more, if no other call does. */
  markDone(held: Held): void {
    if (held.users > 0 || held.idleLink === undefined || held.doneLink !== undefined) return;
    held.doneLink = this.#done.append(held);
    changeDone(1);
  }

  /** Gives the descriptor to a receiver, who owns it from now on. */
  handOver(held: Held): number {
    held.handedOver = true;
    held.claims?.changed();
    this.#forget(held);
    return held.fd;
  }

  /**
   * Gives an idle descriptor to a call. False, and nothing changes, unless it is held, idle, and has the inode of the entry.
   */
  claim(entry: ClaimEntry, claims: Claims): boolean {
    const held = this.#bySequence.get(entry.sequence);
    if (held === undefined || held.claims !== undefined || held.inode !== entry.inode) return false;
    this.#removeFromIdle(held);
    held.assignedTo = undefined;
    held.claims = claims;
    claims.add(held);
    return true;
  }

  /**
   * Notes for whom idle descriptors came. Numbers of others are ignored. It takes no longer than there are descriptors, whatever numbers
   * the peer has told.
   */
  assign(ranges: Iterable<SequenceRange>, assignments: Assignments): void {
    for (const { first, last } of ranges) {
      if (last - first < this.#bySequence.size) {
        for (let sequence = first; sequence <= last; sequence++) {
          this.#assign(this.#bySequence.get(sequence), assignments);
        }
      } else {
        for (const held of this.#bySequence.values()) {
          if (held.sequence >= first && held.sequence <= last) this.#assign(held, assignments);
        }
      }
    }
  }

  #assign(held: Held | undefined, assignments: Assignments): void {
    if (held?.idleLink !== undefined) assignments.add(held);
  }

  /** Closes what came for the receiver of these assignments, and for nobody else who is not done. */
  endAssignments(assignments: Assignments): void {
    const left = assignments.end();
    if (left.length === 0) return;
    for (const held of left) this.#forget(held);
    this.#closeAll(
      left.map(({ fd }) => fd),
      'credentials done',
    );
  }

  /** Closes the descriptors that a call claimed, unless {@link closeAll} has closed them. */
  release(claims: Claims): void {
    const fds: number[] = [];
    for (const held of claims.inOrder) if (this.#bySequence.delete(held.sequence)) fds.push(held.fd);
    this.#total?.changed(-fds.length);
    this.#closeAll(fds, 'call ended');
  }

  /** Closes all idle descriptors. */
  closeIdle(): void {
    const fds: number[] = [];
    for (let first = this.#idle.first?.value; first !== undefined; first = this.#idle.first?.value) {
      this.#forget(first);
      fds.push(first.fd);
    }
    this.#closeAll(fds, 'credentials done');
  }

  /** Closes an idle descriptor of that inode. False, and nothing changes, unless it is there. */
  closeUnclaimed(entry: ClaimEntry): boolean {
    const held = this.#bySequence.get(entry.sequence);
    if (held === undefined || held.claims !== undefined || held.inode !== entry.inode) return false;
    this.#close(held, 'maxFdsPerCall');
    return true;
  }

  closeAll(): void {
    const all = [...this.#bySequence.values()];
    for (const held of all) this.#forget(held);
    this.#closeAll(
      all.map(({ fd }) => fd),
      'connection closed',
    );
    this.#total?.remove(this);
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** Closes an idle descriptor. */
  #close(held: Held, reason: CloseReason): void {
    this.#forget(held);
    this.#operations.close(held.fd);
    this.watcher.fdsClosed(1, reason);
  }

  #closeAll(fds: readonly number[], reason: CloseReason): void {
    if (fds.length === 0) return;
    this.#operations.closeAll(fds);
    this.watcher.fdsClosed(fds.length, reason);
  }

  #forget(held: Held): void {
    this.#removeFromIdle(held);
    if (this.#bySequence.delete(held.sequence)) this.#total?.changed(-1);
    held.assignedTo = undefined;
  }

  #removeFromDone(held: Held): void {
    if (held.doneLink === undefined) return;
    this.#done.remove(held.doneLink);
    held.doneLink = undefined;
    changeDone(-1);
  }

  #removeFromIdle(held: Held): void {
    if (held.idleLink === undefined) return;
    this.#removeFromDone(held);
    this.#idle.remove(held.idleLink);
    held.idleLink = undefined;
    if (held.inodeLink !== undefined) this.#idleByInode?.remove(held.inode, held.inodeLink);
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
    }, this.#sparing.graceMs);
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
      this.#close(first, 'holdMs');
      first = this.#idle.first?.value;
    }
    this.#arm();
  }
}

function addTo(index: InodeIndex<Held>, held: Held): void {
  if (!held.isPlaceholder) held.inodeLink = index.add(held.inode, held);
}
