/** A duplicate of the caller's descriptor that waits to be sent, or was sent. The caller's own descriptor can be closed at once. */
export interface SentFd {
  /** `inode://<dev>/<ino>`: the name to put into the message for a peer of any kind. */
  readonly url: string;
  /**
   * The exact name to put into the message when this package is at both ends. It never names another file, even where files share an
   * inode. It is the same as `url` where the peer is known not to understand references.
   */
  readonly ref: string;
  /**
   * Resolves when the kernel has taken the descriptor. Rejects with a GrpcFdError that says why it never will:
   * `ERR_GRPCFD_SEND_FAILED`, `ERR_GRPCFD_CALL_ENDED`, `ERR_GRPCFD_CLOSED`, `ERR_GRPCFD_CONNECTION_CLOSED`,
   * `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`. A rejection that nobody handles does not end the process.
   */
  readonly sent: Promise<void>;
}

/** Is told the outcome of a descriptor on one connection: null when the kernel took it. */
export interface OutcomeSink {
  settle(error: Error | null): void;
}

/** Holds the outcome of a {@link SentFd}. The first one counts. */
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

/** A {@link SentFd} whose promise is made at the first use of it. */
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
