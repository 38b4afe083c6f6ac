import { close, placeholder } from '../native/binding.js';

/**
 * At most this many descriptors to one `sendmsg`. The kernel takes 253, but the Go package has a buffer for
 * 64 and drops the rest without a word.
 */
export const MAX_DESCRIPTORS_PER_MESSAGE = 64;

/** Whose queued descriptors are: the queue borrows each until it calls `settle` for it, which it does exactly once. */
export interface DescriptorOwner {
  /**
   * null: the kernel took the descriptor. Called from within `write`, `queueDescriptor`, `shutdown`, `close`
   * or an event of the socket, as the case may be: it must not throw, and must not write.
   */
  settle(error: Error | null, fd: number): void;
}

/** A descriptor on its way out. It may be queued on several sockets at a time, and is closed when the last one is done with it. */
export interface OutgoingDescriptor extends DescriptorOwner {
  readonly fd: number;
}

/** In place of a placeholder that could not be made: the connection fails, and there is nothing to close. */
const NOTHING = -1;

/** What the next message carries. One for all sockets of the thread: it is sent before anybody else can fill it. */
export const batch = new Int32Array(MAX_DESCRIPTORS_PER_MESSAGE);

/** Descriptors that wait for bytes to ride on, in order. */
export class OutgoingDescriptors {
  // Side by side, for the sake of the collector. Placeholders have no owner but the queue. Both are replaced, never emptied, when
  // all in them has settled.
  #fds: number[] = [];
  #owners: (DescriptorOwner | undefined)[] = [];
  /** Those before have gone. */
  #first = 0;
  #sent = 0;
  /** Why none is sent any more. */
  #refusal: Error | undefined;

  get length(): number {
    return this.#fds.length - this.#first;
  }

  /** How many the kernel took. Placeholders do not count. */
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

  /** Fills {@link batch}. How many there are in it. */
  nextBatch(): number {
    const count = Math.min(this.length, MAX_DESCRIPTORS_PER_MESSAGE);
    for (let index = 0; index < count; index++) batch[index] = this.#fds[this.#first + index] ?? NOTHING;
    return count;
  }

  /** The kernel took the first `count`. */
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

  /** The kernel took so many that were never queued. */
  countSent(count: number): void {
    this.#sent += count;
  }

  /**
   * Among the first `count`, settles those that `check` has an error for, and puts placeholders where they
   * were, so that both ends go on counting the same. False: no descriptor is at fault, or not even a
   * placeholder may be sent. Throws when no placeholder can be made.
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
      // First, because its owner closes it: where the descriptor table is full, this makes room for the placeholder.
      owner.settle(error, fd);
      if (this.#fds !== fds) return true; // closed in there
      fds[index] = placeholder();
    }
    return refused;
  }

  /**
   * Settles all that is left and all that is pushed later: the connection carries bytes only. For good, since the peer has not
   * counted those that were refused.
   */
  refuseAll(error: Error): void {
    this.#refusal = error;
    this.rejectAll(error);
  }

  /** Settles all that is left. */
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
      // More room is behind us than ahead: each is moved once, on the average.
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
  for (let index = start; index < end; index++) {
    const fd = fds[index] ?? NOTHING;
    const owner = owners[index];
    if (owner) owner.settle(error, fd);
    else if (fd !== NOTHING) close(fd);
  }
}
