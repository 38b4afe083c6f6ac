import { withResolvers } from './service.js';

/** Lets a test wait for a point in other code, and keep it there until it may go on. */
export class Gate {
  readonly #reached = withResolvers<void>();
  readonly #opened = withResolvers<void>();

  /** Resolves when somebody waits. */
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
