import { close, closeAll, duplicateAll } from '../native/binding.js';
import type { DescriptorOwner } from './outgoing-descriptors.js';

/** Duplicates of descriptors that are sent together. Those that went are closed when all have settled, in one native call. */
export class Duplicates implements DescriptorOwner {
  readonly fds: readonly number[];
  /** Settles when all have. An unread rejection never ends the process. */
  readonly sent: Promise<void>;
  #waiting: number;
  #error: Error | undefined;
  /** Closed already. */
  #refused: Set<number> | undefined;
  #resolve = () => {};
  #reject = (_error: Error) => {};

  /** Throws, and has made none, when one cannot be duplicated. `fds` stay the caller's. */
  constructor(fds: readonly number[]) {
    this.fds = duplicateAll(fds);
    this.#waiting = this.fds.length;
    this.sent = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (this.#waiting === 0) this.#resolve();
  }

  settle(error: Error | null, fd: number): void {
    if (error) {
      // At once: the queue may need its number for a placeholder.
      close(fd);
      this.#refused ??= new Set();
      this.#refused.add(fd);
      this.#error ??= error;
    }
    if (--this.#waiting > 0) return;
    closeAll(this.#refused ? this.fds.filter((each) => !this.#refused?.has(each)) : this.fds);
    if (this.#error) {
      this.sent.catch(() => {});
      this.#reject(this.#error);
    } else {
      this.#resolve();
    }
  }
}
