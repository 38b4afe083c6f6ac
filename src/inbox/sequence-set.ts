/**
 * How many intervals are kept. Descriptors are received about in order, so that there are few; a peer whose descriptors are
 * received with gaps between all of them costs this much memory and no more.
 */
const MAX_INTERVALS = 4096;

/**
 * A set of sequence numbers that only grows, kept as intervals. Beyond {@link MAX_INTERVALS}, the oldest two grow together: the
 * numbers between them then count as in the set.
 */
export class SequenceSet {
  /** First and last number of each interval, in ascending order; no two touch. */
  readonly #intervals: [first: number, last: number][] = [];

  add(sequence: number): void {
    const index = this.#indexBehind(sequence);
    const before = this.#intervals[index - 1];
    const after = this.#intervals[index];
    if (before !== undefined && sequence <= before[1]) return;
    const touchesBefore = before !== undefined && before[1] === sequence - 1;
    const touchesAfter = after !== undefined && after[0] === sequence + 1;
    if (touchesBefore && touchesAfter) {
      before[1] = after[1];
      this.#intervals.splice(index, 1);
    } else if (touchesBefore) before[1] = sequence;
    else if (touchesAfter) after[0] = sequence;
    else this.#insert(index, sequence);
  }

  has(sequence: number): boolean {
    const before = this.#intervals[this.#indexBehind(sequence) - 1];
    return before !== undefined && sequence <= before[1];
  }

  #insert(index: number, sequence: number): void {
    this.#intervals.splice(index, 0, [sequence, sequence]);
    if (this.#intervals.length <= MAX_INTERVALS) return;
    const [oldest, next] = this.#intervals;
    if (oldest === undefined || next === undefined) return;
    next[0] = oldest[0];
    this.#intervals.shift();
  }

  /** Index of the first interval that begins behind `sequence`. New numbers mostly are the highest. */
  #indexBehind(sequence: number): number {
    let low = 0;
    let high = this.#intervals.length;
    if (high > 0 && (this.#intervals[high - 1]?.[0] ?? 0) <= sequence) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#intervals[middle]?.[0] ?? 0) <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
