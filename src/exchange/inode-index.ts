import { type Link, LinkedList } from './linked-list.js';

/** Members by inode key, oldest first within one inode. Every operation is O(1). */
export class InodeIndex<T> {
  readonly #lists = new Map<string, LinkedList<T>>();

  add(key: string, value: T): Link<T> {
    let list = this.#lists.get(key);
    if (list === undefined) {
      list = new LinkedList();
      this.#lists.set(key, list);
    }
    return list.append(value);
  }

  remove(key: string, link: Link<T>): void {
    const list = this.#lists.get(key);
    if (list === undefined) return;
    list.remove(link);
    if (list.size === 0) this.#lists.delete(key);
  }

  oldest(key: string): T | undefined {
    return this.#lists.get(key)?.first?.value;
  }

  newest(key: string): T | undefined {
    return this.#lists.get(key)?.last?.value;
  }

  clear(): void {
    this.#lists.clear();
  }
}
