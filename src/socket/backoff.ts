export interface BackoffLimits {
  readonly firstMs: number;
  readonly longestMs: number;
  /** All delays together. After that, `next` gives up. */
  readonly totalMs: number;
}

/**
 * Delays for retrying what only time can mend: each twice as long as the one before, bounded each and in
 * total.
 */
export class Backoff {
  readonly #limits: BackoffLimits;
  #nextMs: number;
  #spentMs = 0;

  constructor(limits: BackoffLimits) {
    this.#limits = limits;
    this.#nextMs = limits.firstMs;
  }

  /** How long to wait now, or undefined when it is time to give up. */
  next(): number | undefined {
    if (this.#spentMs >= this.#limits.totalMs) return undefined;
    const delayMs = this.#nextMs;
    this.#spentMs += delayMs;
    this.#nextMs = Math.min(delayMs * 2, this.#limits.longestMs);
    return delayMs;
  }

  /** It went well: the next trouble starts from the beginning. */
  reset(): void {
    this.#nextMs = this.#limits.firstMs;
    this.#spentMs = 0;
  }
}
