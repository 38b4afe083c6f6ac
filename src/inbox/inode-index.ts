import { type Link, LinkedList } from './linked-list.js';
import type { Inode } from './names.js';

/** Lists of values, one for each inode, oldest first. Every operation is O(1). */
export class InodeIndex<T> {
  readonly #lists = new Map<Inode, LinkedList<T>>();

  add(inode: Inode, value: T): Link<T> {
    let list = this.#lists.get(inode);
    if (list === undefined) {
      list = new LinkedList();
      this.#lists.set(inode, list);
    }
    return list.append(value);
  }

  remove(inode: Inode, link: Link<T>): void {
    const list = this.#lists.get(inode);
    if (list === undefined) return;
    list.remove(link);
    if (list.size === 0) this.#lists.delete(inode);
  }

  newest(inode: Inode): T | undefined {
    return this.#lists.get(inode)?.last?.value;
  }
}
