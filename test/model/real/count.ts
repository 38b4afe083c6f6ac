/** Counts events, and lets one wait for a number of them. */
export class Count {
  #reached = 0;
  readonly #waiting = new Map<number, (() => void)[]>();

  add(): void {
    this.#reached++;
    for (const resolve of this.#waiting.get(this.#reached) ?? []) resolve();
    this.#waiting.delete(this.#reached);
  }

  reach(count: number): Promise<void> {
    if (this.#reached >= count) return Promise.resolve();
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(count);
      if (waiting === undefined) this.#waiting.set(count, [resolve]);
      else waiting.push(resolve);
    });
  }
}
