/** Limits of the delays of a {@link Backoff}. */
export interface BackoffLimits {
  readonly firstMs: number;
  readonly longestMs: number;
  /** The sum of all delays. When it is reached, `next` gives up. */
  readonly totalMs: number;
}

/** Delays between tries of an operation that may succeed later. Each is twice as long as the one before, up to the limits. */
export class Backoff {
  readonly #limits: BackoffLimits;
  #nextMs: number;
  #spentMs = 0;

  constructor(limits: BackoffLimits) {
    this.#limits = limits;
    this.#nextMs = limits.firstMs;
  }

  /** How long to wait now, in milliseconds. Undefined when it is time to give up. */
  next(): number | undefined {
    if (this.#spentMs >= this.#limits.totalMs) return undefined;
    const delayMs = this.#nextMs;
    this.#spentMs += delayMs;
    this.#nextMs = Math.min(delayMs * 2, this.#limits.longestMs);
    return delayMs;
  }

  /** The operation succeeded. The delays begin anew with its next failure. */
  reset(): void {
    this.#nextMs = this.#limits.firstMs;
    this.#spentMs = 0;
  }
}
