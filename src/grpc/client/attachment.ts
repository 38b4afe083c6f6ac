import type { GrpcFdError } from '../../errors.js';
import type { Connection } from '../connection.js';
import type { CountedFd } from '../counted-fd.js';
import { type FdsEntry, NOT_SENT } from '../fds-metadata.js';
import { formatReference, type ReferenceParts } from '../reference.js';
import { Outcome, type OutcomeSink } from '../send-outcome.js';

/** Makes the error for a descriptor that was never sent. It is called only then, because an error costs more than all the rest. */
export type Reason = () => GrpcFdError;

/**
 * A descriptor attached to the calls of an FdCallCredentials. It is sent again on the connection of each attempt, and kept until no
 * attempt of any of these calls can follow.
 */
export class Attachment implements OutcomeSink {
  readonly descriptor: CountedFd;
  /** Success as soon as the kernel has taken it on any connection; otherwise a failure, as soon as no attempt can follow. */
  readonly outcome = new Outcome();
  /** How many calls carry it and may have another attempt. */
  carriers = 0;
  #queued = 0;
  #sent = false;
  #failure: Error | undefined;
  #released: Reason | undefined;
  #id: string;
  #number: number;
  #isLate = false;
  readonly #otherNames: ReferenceParts[] = [];

  /** Takes over the caller's count of `descriptor`. Its name is `fd:<credentials id>:<index>`. */
  constructor(credentialsId: string, index: number, descriptor: CountedFd) {
    this.#id = credentialsId;
    this.#number = index;
    this.descriptor = descriptor;
  }

  /** Its name where it was attached, or all of its names where attempts that run have sent it. */
  get ref(): string {
    return formatReference(this.#id, this.#number, this.#otherNames);
  }

  /** Queues it on the connection of an attempt. Returns its entry in the metadata of that attempt. */
  sendOn(connection: Connection): FdsEntry {
    const { inode } = this.descriptor;
    return { id: this.#id, number: this.#number, sequence: this.#queueOn(connection), inode };
  }

  /**
   * Queues it on the connection of an attempt whose metadata was already sent. Its name is made from its sequence number there. With
   * several attempts, it has a name for each, and each server receives by one that is good there. A retry sends messages with these names
   * again, and its metadata tells the sequence number that the first one has in that attempt.
   */
  sendLate(connection: Connection): void {
    const id = connection.sentId;
    const number = this.#queueOn(connection);
    if (id === undefined || number === NOT_SENT) return;
    if (this.#isLate) {
      this.#otherNames.push({ id, number });
      return;
    }
    this.#isLate = true;
    this.#id = id;
    this.#number = number;
  }

  #queueOn(connection: Connection): number {
    // Its credentials were closed after the call started.
    if (this.#released !== undefined) return NOT_SENT;
    this.#queued++;
    return connection.queue(this.descriptor, this);
  }

  /** @internal The outcome on one connection. */
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

  /** Releases the descriptor, because no attempt can follow. Where it was never sent, `reason` makes the error. Idempotent. */
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
