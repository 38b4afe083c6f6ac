import { close, placeholder } from '../native/binding.js';

/**
 * At most this many descriptors to one `sendmsg`. The kernel takes 253, but the Go package has a buffer for
 * 64 and drops the rest without a word.
 */
export const MAX_DESCRIPTORS_PER_MESSAGE = 64;

/**
 * A descriptor on its way out. The queue borrows `fd` until it calls `settled`, which it does exactly once: it may be queued on
 * several sockets at a time, and is its owner's to close when the last one is done with it.
 */
export interface OutgoingDescriptor {
  readonly fd: number;
  /**
   * null: the kernel took the descriptor. Called from within `write`, `queueDescriptor`, `shutdown`, `close`
   * or an event of the socket, as the case may be: it must not throw, and must not write.
   */
  settled(error: Error | null): void;
}

interface Entry {
  readonly fd: number;
  /** Absent for a placeholder. */
  readonly owner?: OutgoingDescriptor;
}

const NONE: readonly number[] = [];

/** Descriptors that wait for bytes to ride on, in order. */
export class OutgoingDescriptors {
  #queue: Entry[] = [];
  #sent = 0;

  get length(): number {
    return this.#queue.length;
  }

  /** How many the kernel took. Placeholders do not count. */
  get sent(): number {
    return this.#sent;
  }

  push(owner: OutgoingDescriptor): void {
    this.#queue.push({ fd: owner.fd, owner });
  }

  /** What the next message carries. */
  nextBatch(): readonly number[] {
    if (this.#queue.length === 0) return NONE;
    return this.#queue.slice(0, MAX_DESCRIPTORS_PER_MESSAGE).map(({ fd }) => fd);
  }

  /** The kernel took the first `count`. */
  markSent(count: number): void {
    if (count === 0) return;
    const entries = this.#queue.splice(0, count);
    for (const { owner } of entries) if (owner) this.#sent++;
    settle(entries, null);
  }

  /**
   * Among the first `count`, settles those that `check` has an error for, and puts placeholders where they
   * were, so that both ends go on counting the same. False: no descriptor is at fault, or not even a
   * placeholder may be sent. Throws when no placeholder can be made.
   */
  replaceRefused(count: number, check: (fd: number) => Error | null): boolean {
    const queue = this.#queue;
    let refused = false;
    for (const [index, { fd, owner }] of queue.slice(0, count).entries()) {
      const error = check(fd);
      if (!error) continue;
      if (!owner) return false;
      refused = true;
      queue[index] = NOTHING;
      // First, because its owner closes it: where the descriptor table is full, this makes room for the placeholder.
      owner.settled(error);
      if (this.#queue !== queue) return true; // closed in there
      queue[index] = { fd: placeholder() };
    }
    return refused;
  }

  /** Settles all that is left. */
  rejectAll(error: Error): void {
    const entries = this.#queue;
    this.#queue = [];
    settle(entries, error);
  }
}

function settle(entries: readonly Entry[], error: Error | null): void {
  for (const { fd, owner } of entries) {
    if (owner) owner.settled(error);
    else if (fd >= 0) close(fd);
  }
}

/** Where a placeholder should be and could not be made: the connection fails, and there is nothing to close. */
const NOTHING: Entry = { fd: -1 };
