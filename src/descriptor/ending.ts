import { GrpcFdError } from '../errors.js';
import { clearTimeout, setTimeout } from '../timers.js';

/** When an operation is given up, besides the end of its file. */
export interface Limits {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/** Operations of one file that may take any time. They are given up when the file is closed, at a signal, and at a time limit. */
export class Ending {
  readonly #running = new Set<AbortController>();

  /** Gives up all that run. */
  end(reason: Error): void {
    for (const each of this.#running) each.abort(reason);
  }

  /**
   * Runs `operation` with a signal whose reason is the error to reject with.
   *
   * @param what "connecting to …", for the text of the error
   */
  async run<Result>(
    what: string,
    { signal, timeoutMs = Number.POSITIVE_INFINITY }: Limits,
    operation: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    if (signal?.aborted === true) throw aborted(what, signal);
    const controller = new AbortController();
    const onAbort = () => controller.abort(aborted(what, signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    const onTimeout = () => controller.abort(timedOut(what, timeoutMs));
    const timer = timeoutMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(onTimeout, timeoutMs);
    this.#running.add(controller);
    try {
      return await operation(controller.signal);
    } finally {
      this.#running.delete(controller);
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }
}

/** `operation`, which goes on by itself if the signal comes first. */
export function untilAborted<Result>(
  operation: Promise<Result>,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (!(signal instanceof AbortSignal)) return operation;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(aborted(what, signal));
    signal.addEventListener('abort', onAbort, { once: true });
    operation.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

export function aborted(what: string, signal: AbortSignal | undefined): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_ABORTED', `${what} was aborted`, { cause: signal?.reason });
}

function timedOut(what: string, timeoutMs: number): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_TIMEOUT', `${what} took longer than ${timeoutMs} ms`);
}
