/** Choices for scripts, from a seed. */
import { type Random, randomFrom } from '../../support/random.js';

export class Dice {
  readonly below: Random;

  constructor(seed: number) {
    this.below = randomFrom(seed);
  }

  /** True once in so many times. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of a list that is not empty. */
  pick<const List extends readonly unknown[]>(choices: List): List[number] {
    return choices[this.below(choices.length)];
  }

  /** So many results of a function. */
  times<T>(count: number, make: (index: number) => T): T[] {
    return Array.from({ length: count }, (_, index) => make(index));
  }

  /** The property, or nothing, for a plan whose properties are optional. */
  maybe<T extends object>(times: number, make: () => T): T | Record<never, never> {
    return this.once(times) ? make() : {};
  }

  /** A place in a list, its end included. */
  place(list: readonly unknown[]): number {
    return this.below(list.length + 1);
  }
}
