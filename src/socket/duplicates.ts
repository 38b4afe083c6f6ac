import { close, closeAll, duplicateAll } from '../native/binding.js';
import type { DescriptorOwner } from './outgoing-descriptors.js';

/** Duplicates of descriptors that are sent together. When all have settled, those that were sent are closed in one native call. */
export class Duplicates implements DescriptorOwner {
  readonly fds: readonly number[];
  /** Settles when all have settled. A rejection that nobody handles does not end the process. */
  readonly sent: Promise<void>;
  #waiting: number;
  #error: Error | undefined;
  /** Those that were not sent. They have been closed. */
  #refused: Set<number> | undefined;
  #resolve = () => {};
  #reject = (_error: Error) => {};

  /** `fds` stay the caller's. When one of them cannot be duplicated, this throws, and no duplicate is left. */
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
      // It is closed at once, because the queue may need its number for a placeholder.
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
