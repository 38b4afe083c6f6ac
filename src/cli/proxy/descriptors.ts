/** The descriptors that went one way on a connection, and their names. */

import { copyOf } from './names.js';

/** So many are kept. The oldest are forgotten: names come with the bytes of their descriptors, or soon after. */
export const MOST_KEPT = 4096;
/** Of one descriptor. Its sender gives it one, and further ones if a call is tried again. */
const MOST_NAMES = 4;

export interface Descriptor {
  /** Among all of this connection and direction, from 1. */
  readonly number: number;
  readonly inode: string;
  /** The references that metadata gave it. */
  readonly references: string[];
  /** What was printed of its names. */
  readonly names: Set<string>;
}

export class DescriptorTable {
  /** By number. The oldest comes first. */
  readonly #kept = new Map<number, Descriptor>();
  /** The newest of each inode. */
  readonly #byInode = new Map<string, Descriptor>();
  readonly #byReference = new Map<string, Descriptor>();

  /** Returns the one that is forgotten for it. */
  add(number: number, inode: string): Descriptor | undefined {
    const descriptor: Descriptor = { number, inode, references: [], names: new Set() };
    this.#kept.set(number, descriptor);
    this.#byInode.set(inode, descriptor);
    return this.#kept.size > MOST_KEPT ? this.#forgetOldest() : undefined;
  }

  #forgetOldest(): Descriptor | undefined {
    for (const oldest of this.#kept.values()) {
      this.#kept.delete(oldest.number);
      if (this.#byInode.get(oldest.inode) === oldest) this.#byInode.delete(oldest.inode);
      for (const reference of oldest.references) {
        if (this.#byReference.get(reference) === oldest) this.#byReference.delete(reference);
      }
      return oldest;
    }
    return undefined;
  }

  get(number: number): Descriptor | undefined {
    return this.#kept.get(number);
  }

  ofInode(inode: string): Descriptor | undefined {
    return this.#byInode.get(inode);
  }

  ofReference(reference: string): Descriptor | undefined {
    return this.#byReference.get(reference);
  }

  /** Metadata has named it so. */
  refer(descriptor: Descriptor, reference: string): void {
    if (descriptor.references.length === MOST_NAMES || descriptor.references.includes(reference)) return;
    const copy = copyOf(reference);
    descriptor.references.push(copy);
    this.#byReference.set(copy, descriptor);
  }

  /** Whether this is to be printed, because it was not before. */
  isNew({ names }: Descriptor, name: string): boolean {
    if (names.size === MOST_NAMES || names.has(name)) return false;
    names.add(copyOf(name));
    return true;
  }

  unnamed(): Descriptor[] {
    return [...this.#kept.values()].filter(({ names }) => names.size === 0);
  }
}
