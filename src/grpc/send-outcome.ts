/** A descriptor that has been given away to be sent. What the caller sent stays the caller's, who may close it at once. */
export interface SentFd {
  /** `inode://<dev>/<ino>`: the name to put in the message for any peer. */
  readonly url: string;
  /**
   * The exact name to put in the message when this package is at both ends: it never is another file, even where files
   * share an inode. Where the peer is known not to understand it, the same as `url`.
   */
  readonly ref: string;
  /**
   * Settles when the kernel took the descriptor, or with the reason why it never will. An unread rejection never ends the
   * process.
   */
  readonly sent: Promise<void>;
}

/** Is told what became of a descriptor on one connection: null when the kernel took it. */
export interface OutcomeSink {
  settle(error: Error | null): void;
}

/** How a {@link SentFd} learns what became of its descriptor. The first outcome counts. */
export class Outcome implements OutcomeSink {
  #result: Error | null | undefined;
  #promise: Promise<void> | undefined;
  #resolve: (() => void) | undefined;
  #reject: ((error: Error) => void) | undefined;

  get promise(): Promise<void> {
    if (this.#promise === undefined) {
      this.#promise = new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      });
      this.#promise.catch(() => {});
      this.#tell();
    }
    return this.#promise;
  }

  settle(error: Error | null): void {
    if (this.#result !== undefined) return;
    this.#result = error;
    this.#tell();
  }

  #tell(): void {
    if (this.#result === null) this.#resolve?.();
    else if (this.#result !== undefined) this.#reject?.(this.#result);
  }
}

/** A {@link SentFd} whose promise is only made when it is asked for. */
export class Sent implements SentFd {
  readonly url: string;
  readonly ref: string;
  readonly #outcome: Outcome;

  constructor(url: string, ref: string, outcome: Outcome) {
    this.url = url;
    this.ref = ref;
    this.#outcome = outcome;
  }

  get sent(): Promise<void> {
    return this.#outcome.promise;
  }
}
