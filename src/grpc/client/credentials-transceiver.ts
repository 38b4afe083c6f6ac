import { GrpcFdError } from '../../errors.js';
import { MAX_TIMER_MS } from '../../inbox/clock.js';
import { DEFAULT_LIMITS } from '../../inbox/limits.js';
import type { InodeName } from '../../inbox/names.js';
import { PendingReceive, type ReceiveOptions, receive } from '../../inbox/pending-receive.js';
import { clearTimeout, setTimeout } from '../../timers.js';
import {
  type Connection,
  type ConnectionUser,
  connectionClosed,
  uniqueId,
  wrongConnection,
} from '../connection.js';
import type { CountedFd } from '../counted-fd.js';
import type { Reference } from '../reference.js';
import { Sent, type SentFd } from '../send-outcome.js';
import { Transceiver } from '../transceiver.js';
import { Attachment, type Reason } from './attachment.js';
import type { ClientCall, ClientCallOwner } from './client-call.js';
import { Holdings } from './holdings.js';

export function credentialsClosed(how = 'were closed'): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_CLOSED', `the call credentials ${how}`);
}

/** The transceiver of the calls that were given one FdCallCredentials, which have a base class of their own. */
export class CredentialsTransceiver extends Transceiver implements ClientCallOwner, ConnectionUser {
  readonly #id = uniqueId();
  readonly holdings = new Holdings();
  readonly #uses = new Set<ClientCall>();
  /** Those that calls of these credentials ran over, the latest last; closed ones until the next call. */
  readonly #connections = new Set<Connection>();
  readonly #pending = new Set<PendingReceive>();
  #nextIndex = 0;
  #holdMs = DEFAULT_LIMITS.holdMs;
  #holdTimer: NodeJS.Timeout | undefined;
  #hadConnection = false;
  #unsupported: GrpcFdError | undefined;
  #closed = false;

  protected send(descriptor: CountedFd): SentFd {
    if (this.#closed) {
      descriptor.release();
      throw credentialsClosed();
    }
    if (this.holdings.attachments.size >= DEFAULT_LIMITS.maxFdsPerCall) {
      descriptor.release();
      throw tooMany();
    }
    const attachment = new Attachment(this.#id, this.#nextIndex, descriptor);
    this.#nextIndex++;
    // A call that runs already gets it now; one that may still be tried again also keeps it for that.
    for (const connection of this.#connectionsInUse()) attachment.sendLate(connection);
    for (const use of this.#uses) if (use.add(attachment)) attachment.carriers++;
    if (attachment.carriers > 0 || this.#uses.size === 0) this.holdings.attachments.add(attachment);
    else attachment.release(() => this.#unsupported ?? credentialsClosed('have no call that could carry it'));
    return new Sent(descriptor.url, attachment.ref, attachment.outcome);
  }

  protected receive(
    name: InodeName | Reference,
    options: ReceiveOptions | undefined,
  ): number | Promise<number> {
    if (this.#closed) throw credentialsClosed();
    if (name.kind === 'reference') {
      for (const connection of this.#connections) {
        const known = connection.nameOf(name);
        if (known !== undefined) return receive(connection.inbox, known, options);
      }
      throw wrongConnection(name);
    }
    if (this.#unsupported !== undefined) throw this.#unsupported;
    const pending = new PendingReceive(name, options, (settled) => this.#forget(settled));
    for (const connection of this.#openConnections()) {
      if (pending.settled) break;
      pending.attach(connection.inbox);
      connection.addUser(this);
    }
    if (!pending.settled) this.#pending.add(pending);
    this.#settleIdle();
    return pending.promise;
  }

  protected check(reference: Reference): void {
    if (this.#closed) throw credentialsClosed();
    for (const connection of this.#connections) {
      const known = connection.nameOf(reference);
      if (known !== undefined) {
        connection.inbox.check(known);
        return;
      }
    }
    throw wrongConnection(reference);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Every call's credentials come by here: an error, with its stack, costs more than all the rest.
    if (this.#pending.size > 0) this.#failPending(credentialsClosed());
    this.#settleIdle();
    this.holdings.close(credentialsClosed);
    // What comes for calls that run is closed with them.
    for (const connection of this.#connectionsInUse()) this.holdings.addInterest(connection);
  }

  callStarted(use: ClientCall): Iterable<Attachment> {
    // What earlier calls received is theirs by now.
    if (this.#uses.size === 0) this.holdings.endInterests();
    this.#uses.add(use);
    for (const attachment of this.holdings.attachments) attachment.carriers++;
    this.#settleIdle();
    return this.holdings.attachments;
  }

  callBound(_use: ClientCall, connection: Connection): void {
    // Until here, a reference to what came on one that closed was to fail for that reason.
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

  callUnsupported(_use: ClientCall, error: GrpcFdError): void {
    this.#unsupported = error;
    for (const attachment of [...this.holdings.attachments]) this.#release(attachment, () => error);
    this.#failPending(error);
  }

  callCommitted(_use: ClientCall, attachments: Iterable<Attachment>): void {
    for (const attachment of attachments) {
      attachment.carriers--;
      if (attachment.carriers === 0) this.#release(attachment, neverSent);
    }
  }

  callEnded(use: ClientCall): void {
    this.#uses.delete(use);
    if (this.#uses.size === 0 && this.holdings.closed) this.holdings.endInterests();
    this.#settleIdle();
  }

  connectionClosing(connection: Connection): void {
    for (const pending of this.#pending) pending.detach(connection.inbox);
    this.#settleIdle();
  }

  #connectionsInUse(): Set<Connection> {
    const inUse = new Set<Connection>();
    for (const { connection } of this.#uses) if (connection !== undefined) inUse.add(connection);
    return inUse;
  }

  /** The latest first. */
  #openConnections(): Connection[] {
    return [...this.#connections].filter((connection) => connection.isOpen).reverse();
  }

  #release(attachment: Attachment, reason: Reason): void {
    this.holdings.attachments.delete(attachment);
    attachment.release(reason);
  }

  #forget(pending: PendingReceive): void {
    this.#pending.delete(pending);
    this.#settleIdle();
  }

  #failPending(error: GrpcFdError): void {
    for (const pending of [...this.#pending]) pending.fail(error);
  }

  /**
   * Whatever changed: a wait outlives the last call by the hold time, and not at all without a connection on which something
   * could still come. Where nothing runs and nothing waits, connections need not know of these credentials.
   */
  #settleIdle(): void {
    const idle = this.#uses.size === 0;
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
  return new GrpcFdError('ERR_GRPCFD_CALL_ENDED', 'the call ended before an attempt of it got a connection');
}

function tooMany(): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_TOO_MANY_DESCRIPTORS',
    `at most ${DEFAULT_LIMITS.maxFdsPerCall} descriptors can go with one call`,
  );
}

function holdExpired(holdMs: number): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_HOLD_EXPIRED',
    `nothing came within ${holdMs} ms (holdMs) in which no call with these credentials ran`,
  );
}
