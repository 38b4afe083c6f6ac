import { placeholder } from '../native/binding.js';
import { closeSoon, closeTogether } from '../native/close-together.js';

/** Descriptors in one `sendmsg`. The kernel takes 253, but the Go package has a buffer for 64, and drops the rest without an error. */
export const MAX_DESCRIPTORS_PER_MESSAGE = 64;

/** The owner of queued descriptors. The queue borrows each of them until it calls `settle` for it, exactly once. */
export interface DescriptorOwner {
  /**
   * Reports the outcome of one descriptor: null if the kernel took it. It is called inside `write`, `queueDescriptor`, `shutdown`, `close` or
   * an event of the socket, so it must not throw, and must not write.
   */
  settle(error: Error | null, fd: number): void;
}

/** A descriptor that can be queued. It may be queued on several sockets at a time. */
export interface OutgoingDescriptor extends DescriptorOwner {
  readonly fd: number;
}

/** Stands for a placeholder that could not be made. The connection fails then, and there is nothing to close. */
const NOTHING = -1;

/** The descriptors of the next message. All sockets of the thread share it, because each fills it and sends it in one turn. */
export const batch: Int32Array = new Int32Array(MAX_DESCRIPTORS_PER_MESSAGE);

/** Descriptors that wait for bytes to travel with, in order. */
export class OutgoingDescriptors {
  // Two arrays instead of one array of objects, which would cost the collector more. A placeholder has no owner, and belongs to the queue.
  // When all of them have settled, both arrays are replaced and not emptied, because `replaceRefused` compares them.
  #fds: number[] = [];
  #owners: (DescriptorOwner | undefined)[] = [];
  /** Index of the first descriptor not yet sent. */
  #first = 0;
  #sent = 0;
  /** The error for all later descriptors, once none is sent any more. */
  #refusal: Error | undefined;

  get length(): number {
    return this.#fds.length - this.#first;
  }

  /** How many descriptors the kernel took, without placeholders. */
  get sent(): number {
    return this.#sent;
  }

  push(fd: number, owner: DescriptorOwner): void {
    if (this.#refusal) {
      owner.settle(this.#refusal, fd);
      return;
    }
    this.#fds.push(fd);
    this.#owners.push(owner);
  }

  /** Fills {@link batch}, and returns the number of descriptors in it. */
  nextBatch(): number {
    const count = Math.min(this.length, MAX_DESCRIPTORS_PER_MESSAGE);
    for (let index = 0; index < count; index++) batch[index] = this.#fds[this.#first + index] ?? NOTHING;
    return count;
  }

  /** The kernel took the first `count` descriptors. */
  markSent(count: number): void {
    if (count === 0) return;
    const fds = this.#fds;
    const owners = this.#owners;
    const start = this.#first;
    const end = start + count;
    this.#drop(end);
    for (let index = start; index < end; index++) if (owners[index]) this.#sent++;
    settle(fds, owners, start, end, null);
  }

  /** The kernel took `count` descriptors that were never queued. */
  countSent(count: number): void {
    this.#sent += count;
  }

  /**
   * Among the first `count`, settles the descriptors for which `check` returns an error, and replaces them with placeholders, so that the
   * sequence numbers at both ends stay the same. False if no descriptor is at fault, or if even a placeholder cannot be sent. Throws when a
   * placeholder cannot be made.
   */
  replaceRefused(count: number, check: (fd: number) => Error | null): boolean {
    const fds = this.#fds;
    const owners = this.#owners;
    let refused = false;
    for (let index = this.#first, end = index + count; index < end; index++) {
      const fd = fds[index] ?? NOTHING;
      const owner = owners[index];
      const error = check(fd);
      if (!error) continue;
      if (!owner) return false;
      refused = true;
      fds[index] = NOTHING;
      owners[index] = undefined;
      // The owner closes it. Where the descriptor table is full, that makes room for the placeholder.
      owner.settle(error, fd);
      if (this.#fds !== fds) return true; // The socket was closed in settle().
      fds[index] = placeholder();
    }
    return refused;
  }

  /**
   * Rejects all descriptors that are left, and all that are queued later: the connection carries bytes only. This is final, because the peer
   * has not counted the rejected ones.
   */
  refuseAll(error: Error): void {
    this.#refusal = error;
    this.rejectAll(error);
  }

  /** Rejects all descriptors that are left. */
  rejectAll(error: Error): void {
    const fds = this.#fds;
    const owners = this.#owners;
    const start = this.#first;
    this.#drop(fds.length);
    settle(fds, owners, start, fds.length, error);
  }

  #drop(end: number): void {
    this.#first = end;
    if (end === this.#fds.length) {
      this.#fds = [];
      this.#owners = [];
      this.#first = 0;
    } else if (end > this.length) {
      // More than half of the array has been sent. On average, each descriptor is copied once.
      this.#fds = this.#fds.slice(end);
      this.#owners = this.#owners.slice(end);
      this.#first = 0;
    }
  }
}

function settle(
  fds: readonly number[],
  owners: readonly (DescriptorOwner | undefined)[],
  start: number,
  end: number,
  error: Error | null,
): void {
  closeTogether(() => {
    for (let index = start; index < end; index++) {
      const fd = fds[index] ?? NOTHING;
      const owner = owners[index];
      if (owner) owner.settle(error, fd);
      else if (fd !== NOTHING) closeSoon(fd);
    }
  });
}
