import { GrpcFdError } from '../errors.js';
import type { OutgoingDescriptor } from '../socket/outgoing-descriptors.js';
import type { CountedFd } from './counted-fd.js';
import type { OutcomeSink } from './send-outcome.js';

const ENDINGS: ReadonlySet<unknown> = new Set(['EPIPE', 'ECONNRESET', 'ENOTCONN', 'ECANCELED']);

/** Whether the descriptor was not sent because the connection has ended, or is about to. */
function hasEnded(error: Error): boolean {
  return error instanceof GrpcFdError || ENDINGS.has((error as NodeJS.ErrnoException).code);
}

/** Is told what becomes of the descriptors that leave on a connection. */
export interface SendCounter {
  countSent(): void;
  countRefused(error: Error): void;
}

/** One holder of a {@link CountedFd}: the queue of a connection. It lets go when its outcome is known. */
export class Outgoing implements OutgoingDescriptor {
  readonly #descriptor: CountedFd;
  readonly #outcome: OutcomeSink;
  readonly #connection: SendCounter;

  constructor(descriptor: CountedFd, outcome: OutcomeSink, connection: SendCounter) {
    this.#descriptor = descriptor.retain();
    this.#outcome = outcome;
    this.#connection = connection;
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  settle(error: Error | null): void {
    this.#descriptor.release();
    if (error === null) this.#connection.countSent();
    else if (!hasEnded(error)) this.#connection.countRefused(error);
    this.#outcome.settle(
      error === null || error instanceof GrpcFdError
        ? error
        : new GrpcFdError('ERR_GRPCFD_SEND_FAILED', `a file descriptor was not sent: ${error.message}`, {
            cause: error,
          }),
    );
  }
}
