/** Runs actions that have something in common one after the other, and all others at the same time. */
export interface Touched {
  /** What no other action may touch meanwhile. */
  readonly alone: readonly string[];
  /** What others may touch, too, unless alone. */
  readonly shared?: readonly string[];
}

interface Lane {
  alone: Promise<void>;
  shared: Promise<void>[];
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  /** What runs, with what it is. */
  readonly #running = new Map<Promise<void>, string>();
  readonly #errors: unknown[] = [];

  /** Starts the action when those before it allow it. Its error is thrown by the next `settled()`. */
  run(what: string, { alone, shared = [] }: Touched, action: () => Promise<void>): void {
    const before = new Set<Promise<void>>();
    const onlyShared = shared.filter((name) => !alone.includes(name));
    for (const name of alone) {
      const lane = this.#lane(name);
      before.add(lane.alone);
      for (const each of lane.shared) before.add(each);
    }
    for (const name of onlyShared) before.add(this.#lane(name).alone);
    const running = this.#start(what, before, action);
    for (const name of alone) this.#lanes.set(name, { alone: running, shared: [] });
    for (const name of onlyShared) this.#lane(name).shared.push(running);
  }

  /** @throws the first error of an action */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.keys());
    this.#lanes.clear();
    if (this.#errors.length > 0) throw this.#errors[0];
  }

  /** What has not come to its end. */
  get running(): readonly string[] {
    return [...this.#running.values()];
  }

  #lane(name: string): Lane {
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = { alone: Promise.resolve(), shared: [] };
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  #start(what: string, before: Iterable<Promise<void>>, action: () => Promise<void>): Promise<void> {
    const running = Promise.all(before)
      .then(action)
      .catch((error) => {
        this.#errors.push(error);
      })
      .then(() => {
        this.#running.delete(running);
      });
    this.#running.set(running, what);
    return running;
  }
}
