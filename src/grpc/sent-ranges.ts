import type { SequenceRange } from '../inbox/names.js';
import { MAX_RANGES } from './fds-metadata.js';

/** Sequence numbers of what was sent in one call: the newest {@link MAX_RANGES} ranges of them. */
export class SentRanges {
  readonly #ranges: SequenceRange[] = [];

  /** In ascending order. It changes with {@link add}. */
  get all(): readonly SequenceRange[] {
    return this.#ranges;
  }

  /** `sequence` is higher than all before. */
  add(sequence: number): void {
    const newest = this.#ranges.at(-1);
    if (newest?.last === sequence - 1) {
      this.#ranges[this.#ranges.length - 1] = { first: newest.first, last: sequence };
      return;
    }
    this.#ranges.push({ first: sequence, last: sequence });
    if (this.#ranges.length > MAX_RANGES) this.#ranges.shift();
  }
}
