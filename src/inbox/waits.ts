import type { GrpcFdError } from '../errors.js';
import type { HeldUser } from './held.js';
import type { Inode } from './names.js';

/**
 * Waits for a descriptor. One of the two methods is called once, unless the wait is withdrawn before. Both may call any method of the
 * inbox, and must not throw.
 */
export interface Waiter {
  /** Receives its own duplicate, to close. */
  arrived(fd: number): void;
  failed(error: GrpcFdError): void;
}

/** One wait of a waiter. */
export interface Wait {
  readonly waiter: Waiter;
  readonly inode: Inode;
  /** The call that waits. Undefined outside a call. */
  readonly user: HeldUser | undefined;
  /** All waits of that call. */
  readonly group: Set<Wait> | undefined;
  withdrawn: boolean;
}

/** The waits of one connection, by inode. Each is also in the group of its call. This class does not call the waiters. */
export class Waits {
  readonly #byInode = new Map<Inode, Set<Wait>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(wait: Wait): void {
    const waits = this.#byInode.get(wait.inode);
    if (waits === undefined) this.#byInode.set(wait.inode, new Set([wait]));
    else waits.add(wait);
    wait.group?.add(wait);
    this.#size++;
  }

  /** Does nothing if the wait was removed before. */
  remove(wait: Wait): void {
    const waits = this.#byInode.get(wait.inode);
    if (waits === undefined || !waits.delete(wait)) return;
    if (waits.size === 0) this.#byInode.delete(wait.inode);
    wait.group?.delete(wait);
    this.#size--;
  }

  /** Removes and returns the waits for an inode, oldest first. */
  takeInode(inode: Inode): readonly Wait[] {
    const waits = this.#byInode.get(inode);
    return waits === undefined ? NONE : this.#take(waits);
  }

  /** Removes and returns the waits of a call. */
  takeGroup(group: Set<Wait>): readonly Wait[] {
    return this.#take(group);
  }

  takeAll(): readonly Wait[] {
    return [...this.#byInode.values()].flatMap((waits) => this.#take(waits));
  }

  #take(waits: Iterable<Wait>): readonly Wait[] {
    const taken = [...waits];
    for (const wait of taken) this.remove(wait);
    return taken;
  }
}

const NONE: readonly Wait[] = [];

/** Fails waits that were removed from {@link Waits}. A waiter may withdraw another wait while this runs. */
export function failWaits(waits: readonly Wait[], error: GrpcFdError): void {
  for (const wait of waits) {
    if (!wait.withdrawn) wait.waiter.failed(error);
  }
}
