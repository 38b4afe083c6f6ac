import type { GrpcFdError } from '../../errors.js';
import type { Connection } from '../connection.js';
import type { CountedFd } from '../counted-fd.js';
import { type FdsEntry, NOT_SENT } from '../fds-metadata.js';
import { formatReference } from '../reference.js';
import { Outcome, type OutcomeSink } from '../send-outcome.js';

/** Makes the error for what was never sent. Only where it never was: an error costs more than the rest of a call's descriptor. */
export type Reason = () => GrpcFdError;

/**
 * A descriptor attached to the calls of an FdCallCredentials. It is kept until no attempt of any call that started with it
 * can follow, and sent anew on the connection of each attempt.
 */
export class Attachment implements OutcomeSink {
  readonly descriptor: CountedFd;
  /** Success once any connection's kernel took it; else why it never was sent, known when nothing more can follow. */
  readonly outcome = new Outcome();
  /** How many calls carry it of which an attempt may still follow. */
  carriers = 0;
  #queued = 0;
  #sent = false;
  #failure: Error | undefined;
  #released: Reason | undefined;
  #id: string;
  #number: number;

  /** Takes over the reference to `descriptor`. It is named `fd:<credentials id>:<index>`. */
  constructor(credentialsId: string, index: number, descriptor: CountedFd) {
    this.#id = credentialsId;
    this.#number = index;
    this.descriptor = descriptor;
  }

  get ref(): string {
    return formatReference(this.#id, this.#number);
  }

  /** Queues it on the connection of an attempt, whose metadata is to have the entry. */
  sendOn(connection: Connection): FdsEntry {
    const { inode } = this.descriptor;
    return { id: this.#id, number: this.#number, sequence: this.#queueOn(connection), inode };
  }

  /**
   * Queues it on the connection of an attempt whose metadata has left already, and names it after its place there. A retry
   * sends the messages that have this name again; its metadata then says what the name stands for.
   */
  sendLate(connection: Connection): void {
    const id = connection.sentId;
    const sequence = this.#queueOn(connection);
    if (id === undefined || sequence === NOT_SENT) return;
    this.#id = id;
    this.#number = sequence;
  }

  #queueOn(connection: Connection): number {
    // Its credentials were closed since the call started.
    if (this.#released !== undefined) return NOT_SENT;
    this.#queued++;
    return connection.queue(this.descriptor, this);
  }

  /** @internal What became of it on one connection. */
  settle(error: Error | null): void {
    this.#queued--;
    if (error === null) {
      this.#sent = true;
      this.outcome.settle(null);
    } else {
      this.#failure = error;
    }
    this.#conclude();
  }

  /** Lets go of the descriptor: no attempt can follow. `reason` tells why, where it never was sent. Idempotent. */
  release(reason: Reason): void {
    if (this.#released !== undefined) return;
    this.#released = reason;
    this.descriptor.release();
    this.#conclude();
  }

  #conclude(): void {
    if (this.#sent || this.#released === undefined || this.#queued > 0) return;
    this.outcome.settle(this.#failure ?? this.#released());
  }
}
