import type { Link } from './linked-list.js';
import type { Arrival, Inode } from './names.js';

/** A descriptor that the connection owns. */
export class Held {
  readonly fd: number;
  readonly inode: Inode;
  readonly sequence: number;
  readonly isPlaceholder: boolean;
  lastUsedAt: number;
  /** The claims of its call. Without any it is idle, and `maxHeldFds` and `holdMs` apply to it. */
  claims: Claims | undefined;
  /** Those of everybody for whom it came, where the peer has told. Undefined once it is held no more. */
  assignedTo: Assignments[] | undefined;
  /** Its link in the list of idle descriptors. */
  idleLink: Link<Held> | undefined;
  /** Its link in the list of idle descriptors of its inode. */
  inodeLink: Link<Held> | undefined;
  /** Its link in the list of idle descriptors that nobody needs. */
  doneLink: Link<Held> | undefined;
  /** Running calls that have received a duplicate of it. */
  users = 0;
  /** A receiver owns the descriptor now. */
  handedOver = false;
  /** It was closed although its call runs: a limit was reached. */
  evicted = false;

  constructor(arrival: Arrival, sequence: number, now: number) {
    this.fd = arrival.fd;
    this.inode = arrival.inode;
    this.sequence = sequence;
    this.isPlaceholder = arrival.isPlaceholder === true;
    this.lastUsedAt = now;
  }
}

/** A call that receives duplicates of idle descriptors, and may ask for them again until it ends. */
export interface HeldUser {
  use(held: Held): void;
}

/** Idle descriptors of which the peer has told that they came for one receiver. Others may receive them, too. */
export class Assignments {
  /** Some of them may be held no more. They are dropped when there are twice as many as the last time. */
  #all: Held[] = [];
  #dropAt = 64;

  add(held: Held): void {
    if (held.assignedTo?.includes(this)) return;
    if (held.assignedTo === undefined) held.assignedTo = [this];
    else held.assignedTo.push(this);
    if (this.#all.length === this.#dropAt) {
      this.#all = this.#all.filter(({ assignedTo }) => assignedTo !== undefined);
      this.#dropAt = Math.max(64, 2 * this.#all.length);
    }
    this.#all.push(held);
  }

  /** The receiver is done. Returns the descriptors that are held, and that came for nobody else who is not done. */
  end(): readonly Held[] {
    const left: Held[] = [];
    for (const held of this.#all) {
      const index = held.assignedTo?.indexOf(this) ?? -1;
      if (held.assignedTo === undefined || index < 0) continue;
      held.assignedTo.splice(index, 1);
      if (held.assignedTo.length === 0) left.push(held);
    }
    this.#all = [];
    return left;
  }
}

function mayBeNamedByInode({ handedOver, evicted, isPlaceholder }: Held): boolean {
  return !handedOver && !evicted && !isPlaceholder;
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
