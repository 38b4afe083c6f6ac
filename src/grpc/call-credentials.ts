import * as grpc from '@grpc/grpc-js';
import type { ReceivedFile } from '../descriptor/received-file.js';
import { GrpcFdError } from '../errors.js';
import { MAX_TIMER_MS } from '../exchange/clock.js';
import { DEFAULT_LIMITS } from '../exchange/limits.js';
import type { InodeName } from '../exchange/names.js';
import { PendingReceive, type ReceiveOptions, receive } from '../exchange/pending-receive.js';
import { Attachment } from './attachment.js';
import { CallBoundCredentials, CombinedCallCredentials } from './call-binding.js';
import { CallUse, type CallUseOwner } from './call-use.js';
import {
  type Connection,
  type ConnectionUser,
  connectionClosed,
  randomId,
  wrongConnection,
} from './connection.js';
import { type CallObserver, componentsOf, installCallHook, isEmptyCallCredentials } from './internals.js';
import type { SharedDescriptor } from './shared-descriptor.js';
import {
  type DescriptorSource,
  type FdTransceiver,
  formatReference,
  noDescriptorSupport,
  type Reference,
  type SendFilenameOptions,
  Sent,
  type SentFd,
  Transceiver,
} from './transceiver.js';

/**
 * Call credentials that carry descriptors: what is sent with them before a call goes with that call, on the connection that
 * its stream takes; what comes back is received from them, during the call and after it. Make them anew for each call.
 *
 * What was sent is kept until no attempt of the call can follow (its first response headers, or its status), for
 * retries; or until `close()`, or until the credentials are collected.
 */
export class FdCallCredentials extends grpc.CallCredentials implements FdTransceiver {
  readonly #inner: grpc.CallCredentials;
  readonly #transceiver = new ClientCallTransceiver();

  /** @internal See {@link callCredentials}. */
  constructor(inner: grpc.CallCredentials) {
    super();
    this.#inner = inner;
    collected.register(this, this.#transceiver.attachments);
    installCallHook(hookCall);
  }

  /**
   * Call options that carry these credentials: `base`, its own credentials kept and composed with these. `interceptors` are
   * never set: those of a call would replace the client's.
   */
  options(base: grpc.CallOptions = {}): grpc.CallOptions & { credentials: grpc.CallCredentials } {
    const others = base.credentials;
    if (others === undefined) return { ...base, credentials: this };
    if (componentsOf(others).includes(this)) return { ...base, credentials: others };
    return { ...base, credentials: others.compose(this) };
  }

  sendFd(fd: number): SentFd {
    return this.#transceiver.sendFd(fd);
  }

  sendFile(file: { readonly fd: number }): SentFd {
    return this.#transceiver.sendFile(file);
  }

  sendFilename(path: string, options?: SendFilenameOptions): SentFd {
    return this.#transceiver.sendFilename(path, options);
  }

  recvFd(source: DescriptorSource, options?: ReceiveOptions): Promise<number> {
    return this.#transceiver.recvFd(source, options);
  }

  recvFile(source: DescriptorSource, options?: ReceiveOptions): Promise<ReceivedFile> {
    return this.#transceiver.recvFile(source, options);
  }

  /**
   * Closes what was not sent, and ends what waits with `ERR_GRPCFD_CLOSED`. Calls that run go on. Idempotent.
   */
  close(): void {
    this.#transceiver.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  override generateMetadata(
    options: Parameters<grpc.CallCredentials['generateMetadata']>[0],
  ): Promise<grpc.Metadata> {
    return this.#inner.generateMetadata(options);
  }

  override compose(other: grpc.CallCredentials): grpc.CallCredentials {
    return isEmptyCallCredentials(other) ? this : new CombinedCallCredentials([this, other]);
  }

  override _equals(other: grpc.CallCredentials): boolean {
    return this === other;
  }

  /** @internal One more call that was given these credentials. */
  newUse(): CallUse {
    return new CallUse(this.#transceiver);
  }
}

/**
 * Call credentials that carry descriptors, around `inner`, whose metadata they keep.
 * Given to a call, alone or composed with others, they are its {@link FdTransceiver}.
 */
export function callCredentials(
  inner: grpc.CallCredentials = grpc.credentials.createEmpty(),
): FdCallCredentials {
  return inner instanceof FdCallCredentials ? inner : new FdCallCredentials(inner);
}

/** The credentials that call options carry, or undefined. */
export function callCredentialsFromOptions(options: grpc.CallOptions): grpc.CallCredentials | undefined {
  return options.credentials;
}

/** The transceiver inside credentials, composed ones too; the last one where there are several. Undefined without one. */
export function fromCallCredentials(credentials: grpc.CallCredentials): FdCallCredentials | undefined {
  return fdCredentialsIn(credentials).at(-1);
}

/** Each once, also where credentials were given twice. */
export function fdCredentialsIn(credentials: grpc.CallCredentials): FdCallCredentials[] {
  if (credentials instanceof FdCallCredentials) return [credentials];
  const found = componentsOf(credentials).filter((each) => each instanceof FdCallCredentials);
  return [...new Set(found)];
}

function hookCall(credentials: grpc.CallCredentials) {
  const found = fdCredentialsIn(credentials);
  if (found.length === 0) return undefined;
  const uses = found.map((each) => each.newUse());
  return { credentials: new CallBoundCredentials(credentials, uses), observer: observerOf(uses) };
}

function observerOf(uses: readonly CallUse[]): CallObserver {
  const [only] = uses;
  if (only !== undefined && uses.length === 1) return only;
  return {
    started: () => uses.forEach((use) => use.started()),
    committed: () => uses.forEach((use) => use.committed()),
    ended: () => uses.forEach((use) => use.ended()),
  };
}

/** Closes what credentials that nobody has any more did not send. */
const collected = new FinalizationRegistry<Set<Attachment>>((attachments) => {
  for (const attachment of attachments) attachment.release(closed('were collected'));
});

function closed(how = 'were closed'): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_CLOSED', `the call credentials ${how}`);
}

/** What FdCallCredentials do: it stands apart because they have a base class of their own. */
class ClientCallTransceiver extends Transceiver implements CallUseOwner, ConnectionUser {
  readonly id = randomId();
  /** What the next call takes along, and what running calls may need again. */
  readonly attachments = new Set<Attachment>();
  /** How many uncommitted calls carry an attachment. */
  readonly #carriers = new Map<Attachment, number>();
  readonly #uses = new Set<CallUse>();
  /** Those that calls of these credentials ran over, the latest last. */
  readonly #connections = new Set<Connection>();
  readonly #pending = new Set<PendingReceive>();
  #nextIndex = 0;
  #holdMs = DEFAULT_LIMITS.holdMs;
  #holdTimer: NodeJS.Timeout | undefined;
  #unsupported: GrpcFdError | undefined;
  #closed = false;

  protected send(descriptor: SharedDescriptor): SentFd {
    if (this.#closed) {
      descriptor.release();
      throw closed();
    }
    if (this.attachments.size >= DEFAULT_LIMITS.maxFdsPerCall) {
      descriptor.release();
      throw tooMany();
    }
    const attachment = new Attachment(this.#nextIndex, descriptor);
    this.#nextIndex++;
    let ref = formatReference(this.id, attachment.index);
    // A call that runs already gets it now; one that may still be tried again also keeps it for that.
    for (const connection of this.#connectionsInUse()) {
      const entry = attachment.sendOn(connection, this.id);
      if (entry !== undefined) ref = formatReference(connection.id, entry.sequence);
    }
    const carriers = [...this.#uses].filter((use) => use.add(attachment)).length;
    if (carriers > 0) this.#carriers.set(attachment, carriers);
    if (carriers > 0 || this.#uses.size === 0) this.attachments.add(attachment);
    else attachment.release(this.#unsupported ?? closed('have no call that could carry it'));
    return new Sent(descriptor.url, ref, attachment.outcome);
  }

  protected receive(name: InodeName | Reference, options: ReceiveOptions | undefined): Promise<number> {
    if (this.#closed) return Promise.reject(closed());
    const connections = this.#openConnections();
    if (name.kind === 'reference') {
      for (const connection of connections) {
        const known = connection.nameOf(name);
        if (known !== undefined) return receive(connection.exchange, known, options);
      }
      return Promise.reject(wrongConnection(name));
    }
    if (this.#unsupported !== undefined) return Promise.reject(this.#unsupported);
    const pending = new PendingReceive(name, options, () => this.#forget(pending));
    for (const connection of connections) {
      if (pending.settled) break;
      pending.attach(connection.exchange);
      connection.addUser(this);
    }
    if (!pending.settled) this.#pending.add(pending);
    this.#settleIdle();
    return pending.promise;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const attachment of [...this.attachments]) this.#release(attachment, closed());
    this.#failPending(closed());
    this.#settleIdle();
  }

  callStarted(use: CallUse): Iterable<Attachment> {
    this.#uses.add(use);
    for (const attachment of this.attachments) {
      this.#carriers.set(attachment, (this.#carriers.get(attachment) ?? 0) + 1);
    }
    this.#settleIdle();
    return this.attachments;
  }

  callBound(_use: CallUse, connection: Connection): void {
    this.#connections.delete(connection);
    this.#connections.add(connection);
    this.#holdMs = connection.holdMs;
    connection.addUser(this);
    for (const pending of this.#pending) pending.attach(connection.exchange);
  }

  callUnsupported(_use: CallUse, error: GrpcFdError): void {
    this.#unsupported = error;
    for (const attachment of [...this.attachments]) this.#release(attachment, error);
    this.#failPending(error);
  }

  callCommitted(_use: CallUse, attachments: Iterable<Attachment>): void {
    for (const attachment of attachments) {
      const carriers = (this.#carriers.get(attachment) ?? 0) - 1;
      if (carriers > 0) this.#carriers.set(attachment, carriers);
      else this.#release(attachment, neverSent());
    }
  }

  callEnded(use: CallUse): void {
    this.#uses.delete(use);
    this.#settleIdle();
  }

  connectionClosing(connection: Connection): void {
    this.#connections.delete(connection);
    for (const pending of this.#pending) pending.detach(connection.exchange);
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

  #release(attachment: Attachment, reason: GrpcFdError): void {
    this.attachments.delete(attachment);
    this.#carriers.delete(attachment);
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
      if (this.#connections.size > 0 && this.#openConnections().length === 0)
        this.#failPending(connectionClosed());
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
