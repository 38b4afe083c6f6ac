import { ARRIVED } from '../native/bridge-types.js';
import { unpackFds } from '../native/fd-lists.js';

/** The descriptors that came with the bytes of a read. All sockets of the thread share one object, because each reads and takes in one turn. */
class Arrivals {
  readonly memory: Int32Array = new Int32Array(ARRIVED.LENGTH);

  /** No descriptor came, and none was dropped. */
  get isEmpty(): boolean {
    return this.memory[ARRIVED.COUNT] === 0 && this.memory[ARRIVED.TRUNCATED] === 0;
  }

  get truncated(): boolean {
    return this.memory[ARRIVED.TRUNCATED] !== 0;
  }

  /** The descriptors. They belong to the caller, and are guarded. */
  take(): number[] {
    return unpackFds(this.memory, ARRIVED.FIRST, ARRIVED.FIRST + (this.memory[ARRIVED.COUNT] ?? 0));
  }
}

export const arrivals = new Arrivals();
