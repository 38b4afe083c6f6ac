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
  /** Those of everybody for whom it came, where the peer has told. */
  assignments: Set<Assignments> | undefined;
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

/** Idle descriptors of which the peer has told that they came for one receiver. Others may receive them, too. */
export class Assignments {
  readonly #all = new Set<Held>();

  add(held: Held): void {
    this.#all.add(held);
    held.assignments ??= new Set();
    held.assignments.add(this);
  }

  /** It is held no more. */
  delete(held: Held): void {
    this.#all.delete(held);
  }

  /** The receiver is done. Returns the descriptors that came for nobody else who is not. */
  end(): readonly Held[] {
    const all = [...this.#all];
    this.#all.clear();
    return all.filter(({ assignments }) => assignments?.delete(this) === true && assignments.size === 0);
  }
}

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
