import { unpackFds } from '../native/fd-lists.js';
import { ARRIVED } from '../native/types.js';

/** What came with the bytes of a read. One for all sockets of the thread: it is taken before anybody else can read. */
class Arrivals {
  readonly memory = new Int32Array(ARRIVED.LENGTH);

  /** Nothing came, and nothing is missing. */
  get isEmpty(): boolean {
    return this.memory[ARRIVED.COUNT] === 0 && this.memory[ARRIVED.TRUNCATED] === 0;
  }

  get truncated(): boolean {
    return this.memory[ARRIVED.TRUNCATED] !== 0;
  }

  /** The descriptors, which are the caller's, and guarded. */
  take(): number[] {
    return unpackFds(this.memory, ARRIVED.FIRST, ARRIVED.FIRST + (this.memory[ARRIVED.COUNT] ?? 0));
  }
}

export const arrivals = new Arrivals();
