import { GrpcFdError } from '../../errors.js';
import { MAX_TIMER_MS } from '../../inbox/clock.js';
import type { Inbox } from '../../inbox/inbox.js';
import { DEFAULT_LIMITS } from '../../inbox/limits.js';
import type { InodeName, SequenceName, SequenceRange } from '../../inbox/names.js';
import { PendingReceive, type ReceiveOptions, receive } from '../../inbox/pending-receive.js';
import { closeTogether } from '../../native/close-together.js';
import { clearTimeout, setTimeout } from '../../timers.js';
import type { Connection, ConnectionUser } from '../connection.js';
import { connectionClosed, wrongConnection } from '../connection-failures.js';
import type { CountedFd } from '../counted-fd.js';
import type { Reference } from '../reference.js';
import { Sent, type SentFd } from '../send-outcome.js';
import { Transceiver } from '../transceiver.js';
import { uniqueId } from '../unique-id.js';
import { Attachment, type Reason } from './attachment.js';
import { type ClientCall, type ClientCallOwner, tooManyDescriptors } from './client-call.js';
import { Holdings } from './holdings.js';

export function credentialsClosed(how = 'were closed'): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_CLOSED', `the call credentials ${how}`);
}

/** A block with `using` ends when its call has been started, and long before its callback runs. */
function closedTooEarly(): GrpcFdError {
  return credentialsClosed(
    'were closed before the reply was received. Close them after the last receive, in the callback of the call: ' +
      "a block with 'using' ends before the callback runs",
  );
}

/**
 * The transceiver of all calls with one FdCallCredentials. (These extend a class of grpc-js, so they cannot extend Transceiver.)
 *
 * The state follows from the calls that run, the receives that wait, and `close()`:
 *
 * | state | `#calls` | `#pending` | `#holdTimer` | registered with its connections | `holdings` |
 * | --- | --- | --- | --- | --- | --- |
 * | idle: before the first call, or after the last | empty | empty | off | no | what the next call takes along, what was received |
 * | waiting: no call runs, and something may still come | empty | some | on, unless `holdMs` is longer than a timer | with open ones | the same |
 * | calling | some | any | off | with those of `#calls` at least | what running calls may need again, what was received |
 * | closed (`#closed`), which is final; calls may go on | any | empty | off | while calls run | empty |
 *
 * "Waiting" needs an open connection, unless there was none yet (`#hadConnection` is false). `#unsupported` is set from a call that
 * met a connection without descriptors until a call meets one with them. While it is set, `#pending` is empty, and receives by URL fail.
 */
export class CredentialsTransceiver extends Transceiver implements ClientCallOwner, ConnectionUser {
  readonly #id = uniqueId();
  readonly holdings = new Holdings();
  readonly #calls = new Set<ClientCall>();
  /** Connections used by calls with these credentials, newest last. Closed ones are dropped when the next call starts. */
  readonly #connections = new Set<Connection>();
  readonly #pending = new Set<PendingReceive>();
  #nextIndex = 0;
  #holdMs = DEFAULT_LIMITS.holdMs;
  #holdTimer: NodeJS.Timeout | undefined;
  #hadConnection = false;
  #unsupported: GrpcFdError | undefined;
  #closed = false;
  #closedDuringCall = false;

  protected send(descriptor: CountedFd): SentFd {
    if (this.#closed) {
      descriptor.release();
      throw credentialsClosed();
    }
    const full = this.#limitReached();
    if (full !== undefined) {
      descriptor.release();
      throw tooManyDescriptors(full + 1, full);
    }
    const attachment = new Attachment(this.#id, this.#nextIndex, descriptor);
    this.#nextIndex++;
    // A call that runs already sends it now, with each attempt that may still win. A call that may be tried again also keeps it for the
    // next attempt.
    for (const call of this.#calls) {
      for (const attempt of call.attempts) if (attempt.isLive) attachment.sendLate(attempt.connection);
    }
    for (const call of this.#calls) if (call.add(attachment)) attachment.carriers++;
    if (attachment.carriers > 0 || this.#calls.size === 0) this.holdings.attachments.add(attachment);
    else attachment.release(() => this.#unsupported ?? credentialsClosed('have no call that could carry it'));
    return new Sent(descriptor.url, attachment.ref, attachment.outcome);
  }

  protected receive(
    name: InodeName | Reference,
    options: ReceiveOptions | undefined,
  ): number | Promise<number> {
    if (this.#closed) throw this.#closedError();
    if (name.kind === 'reference') {
      const { inbox, known } = this.#known(name);
      return receive(inbox, known, options);
    }
    if (this.#unsupported !== undefined) throw this.#unsupported;
    const pending = new PendingReceive(name, options, (receive) => this.#forget(receive));
    for (const connection of this.#openConnections()) {
      if (pending.isSettled) break;
      pending.attach(connection.inbox);
      connection.addUser(this);
    }
    if (!pending.isSettled) this.#pending.add(pending);
    this.#updateIdle();
    return pending.promise;
  }

  protected check(reference: Reference, look?: (fd: number) => void): void {
    if (this.#closed) throw this.#closedError();
    const { inbox, known } = this.#known(reference);
    inbox.check(known, undefined, look);
  }

  protected take(name: Reference, keep: boolean): number;
  protected take(name: InodeName | Reference, keep: boolean): number | undefined;
  protected take(name: InodeName | Reference, keep: boolean): number | undefined {
    if (this.#closed) throw this.#closedError();
    if (name.kind === 'reference') {
      const { inbox, known } = this.#known(name);
      return inbox.take(known, undefined, keep);
    }
    for (const { inbox } of this.#openConnections()) {
      const fd = inbox.take(name);
      if (fd !== undefined) return fd;
    }
    return undefined;
  }

  /** Where a reference is good, and what it names there. */
  #known(reference: Reference): { inbox: Inbox; known: SequenceName } {
    for (const connection of this.#connections) {
      const known = connection.nameOf(reference);
      if (known !== undefined) return { inbox: connection.inbox, known };
    }
    throw wrongConnection(reference);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closedDuringCall = this.#calls.size > 0;
    // Each call has credentials that are closed. An error, with its stack, costs more than all the rest of this.
    if (this.#pending.size > 0) this.#failPending(this.#closedError());
    this.#updateIdle();
    this.holdings.close(credentialsClosed);
    // Descriptors that still come for running calls are closed when these calls end.
    for (const connection of this.#connectionsInUse()) this.holdings.addInterest(connection);
  }

  #closedError(): GrpcFdError {
    return this.#closedDuringCall ? closedTooEarly() : credentialsClosed();
  }

  callStarted(call: ClientCall): Iterable<Attachment> {
    // Descriptors of earlier calls that nobody has received are given up.
    if (this.#calls.size === 0) this.holdings.endInterests();
    this.#calls.add(call);
    for (const attachment of this.holdings.attachments) attachment.carriers++;
    this.#updateIdle();
    return this.holdings.attachments;
  }

  callBound(connection: Connection): void {
    // Closed connections were kept until now, so that a reference to them fails with CONNECTION_CLOSED.
    for (const known of this.#connections) if (!known.isOpen) this.#connections.delete(known);
    this.#connections.delete(connection);
    this.#connections.add(connection);
    this.#hadConnection = true;
    this.#unsupported = undefined;
    this.#holdMs = connection.holdMs;
    connection.addUser(this);
    this.holdings.addInterest(connection);
    for (const pending of this.#pending) pending.attach(connection.inbox);
  }

  callUnsupported(error: GrpcFdError): void {
    this.#unsupported = error;
    closeTogether(() => {
      for (const attachment of [...this.holdings.attachments]) this.#release(attachment, () => error);
    });
    this.#failPending(error);
  }

  callCommitted(attachments: Iterable<Attachment>, refusal: Reason = neverSent): void {
    closeTogether(() => {
      for (const attachment of attachments) {
        attachment.carriers--;
        if (attachment.carriers === 0) this.#release(attachment, refusal);
      }
    });
  }

  callAssigned(connection: Connection, sent: readonly SequenceRange[]): void {
    this.holdings.assign(connection, sent);
  }

  callEnded(call: ClientCall): void {
    this.#calls.delete(call);
    if (this.#calls.size === 0 && this.holdings.closed) this.holdings.endInterests();
    this.#updateIdle();
  }

  connectionClosing(connection: Connection): void {
    for (const pending of this.#pending) pending.detach(connection.inbox);
    this.#updateIdle();
  }

  /** The limit that one more attachment would exceed: that of a call which may have another attempt, or that of calls to come. */
  #limitReached(): number | undefined {
    for (const { load, mayHaveAttempts } of this.#calls)
      if (mayHaveAttempts && load.isFull) return load.maxFds;
    const { maxFdsPerCall } = DEFAULT_LIMITS;
    return this.#calls.size === 0 && this.holdings.attachments.size >= maxFdsPerCall
      ? maxFdsPerCall
      : undefined;
  }

  #connectionsInUse(): Set<Connection> {
    const inUse = new Set<Connection>();
    for (const { attempts } of this.#calls) {
      for (const { connection } of attempts) if (connection.isOpen) inUse.add(connection);
    }
    return inUse;
  }

  /** Newest first. */
  #openConnections(): Connection[] {
    return [...this.#connections].filter((connection) => connection.isOpen).reverse();
  }

  #release(attachment: Attachment, reason: Reason): void {
    this.holdings.attachments.delete(attachment);
    attachment.release(reason);
  }

  #forget(pending: PendingReceive): void {
    this.#pending.delete(pending);
    this.#updateIdle();
  }

  #failPending(error: GrpcFdError): void {
    for (const pending of [...this.#pending]) pending.fail(error);
  }

  /** Moves between the states "idle", "waiting" and "calling" after `#calls`, `#pending` or a connection has changed. */
  #updateIdle(): void {
    const idle = this.#calls.size === 0;
    if (idle && this.#pending.size > 0) {
      if (this.#hadConnection && this.#openConnections().length === 0) this.#failPending(connectionClosed());
      else this.#startHoldTimer();
    } else {
      clearTimeout(this.#holdTimer);
      this.#holdTimer = undefined;
    }
    if (idle && this.#pending.size === 0) {
      for (const connection of this.#connections) connection.removeUser(this);
    }
  }

  #startHoldTimer(): void {
    if (this.#holdTimer !== undefined || this.#holdMs > MAX_TIMER_MS) return;
    this.#holdTimer = setTimeout(() => {
      this.#holdTimer = undefined;
      this.#failPending(holdExpired(this.#holdMs));
    }, this.#holdMs);
    this.#holdTimer.unref();
  }
}

function neverSent(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_CALL_ENDED',
    'the call ended before an attempt of it got a connection and a free stream',
  );
}

function holdExpired(holdMs: number): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_HOLD_EXPIRED',
    `nothing came within ${holdMs} ms (holdMs) in which no call with these credentials ran`,
  );
}
