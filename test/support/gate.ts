import { withResolvers } from './service.js';

/** Stops other code at a point until the test lets it go on. The test can wait for the code to reach that point. */
export class Gate {
  readonly #reached = withResolvers<void>();
  readonly #opened = withResolvers<void>();

  /** Resolves when the other code has reached the gate. */
  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  open(): void {
    this.#opened.resolve();
  }

  wait(): Promise<void> {
    this.#reached.resolve();
    return this.#opened.promise;
  }
}
