/** Gives sequence numbers to the descriptors of one direction of a connection, from 1. */
export class SequenceCounter {
  #last = 0;

  /** The newest sequence number, which is also the count of descriptors. 0 before the first. */
  get last(): number {
    return this.#last;
  }

  next(): number {
    this.#last++;
    return this.#last;
  }
}
