import type { GrpcFdError } from '../errors.js';
import type { Connection } from './connection.js';
import type { FdsEntry } from './fds-metadata.js';
import { Outcome, type OutcomeSink } from './sent.js';
import type { SharedDescriptor } from './shared-descriptor.js';

/**
 * A descriptor attached to the calls of an FdCallCredentials. It is kept until no attempt of any call that started with it
 * can follow, and sent anew on the connection of each attempt.
 */
export class Attachment implements OutcomeSink {
  readonly index: number;
  readonly descriptor: SharedDescriptor;
  /** Success once any connection's kernel took it; else why it never was sent, known when nothing more can follow. */
  readonly outcome = new Outcome();
  #queued = 0;
  #failure: Error | undefined;
  #released = false;

  /** Takes `descriptor` over. */
  constructor(index: number, descriptor: SharedDescriptor) {
    this.index = index;
    this.descriptor = descriptor;
  }

  /** Queues it on the connection of an attempt. Undefined where it was let go of, or cannot be duplicated (EMFILE). */
  sendOn(connection: Connection, credentialsId: string): FdsEntry | undefined {
    // The credentials may have been closed between the start of the call and this attempt.
    if (this.#released) return undefined;
    const { dev, ino } = this.descriptor;
    this.#queued++;
    try {
      const sequence = connection.queue(this.descriptor, this);
      return { credentialsId, index: this.index, sequence, dev, ino };
    } catch (error) {
      // It must not be thrown into the session.request() that starts the stream: that would cost the whole connection.
      this.settle(error as GrpcFdError);
      return undefined;
    }
  }

  /** @internal What became of it on one connection. */
  settle(error: Error | null): void {
    this.#queued--;
    if (error === null) this.outcome.settle(null);
    else this.#failure = error;
    this.#conclude();
  }

  /** Lets go of the descriptor: no attempt can follow. `reason` tells why, where it never was sent. Idempotent. */
  release(reason: GrpcFdError): void {
    if (this.#released) return;
    this.#released = true;
    this.#failure ??= reason;
    this.descriptor.release();
    this.#conclude();
  }

  #conclude(): void {
    if (this.#released && this.#queued === 0) this.outcome.settle(this.#failure ?? null);
  }
}
