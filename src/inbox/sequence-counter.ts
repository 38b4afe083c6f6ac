/** Numbers the descriptors of one direction of a connection, from 1. */
export class SequenceCounter {
  #last = 0;

  /** How many numbers were given out; the newest one, or 0. */
  get last(): number {
    return this.#last;
  }

  next(): number {
    this.#last++;
    return this.#last;
  }
}
