import { randomBytes } from 'node:crypto';
import { GrpcFdError } from '../errors.js';
import { Exchange } from '../exchange/exchange.js';
import { resolveLimits } from '../exchange/limits.js';
import type { Arrival, DescriptorName, InodeName } from '../exchange/names.js';
import { type ReceiveOptions, receive } from '../exchange/pending-receive.js';
import { SequenceCounter } from '../exchange/sequence-counter.js';
import { native } from '../native/binding.js';
import type { OutgoingDescriptor } from '../socket/outgoing-descriptors.js';
import { UnixStream } from '../socket/unix-stream.js';
import { StreamSocket } from './internals.js';
import type { FdConnectionOptions } from './options.js';
import { Outcome, type OutcomeSink, Sent, type SentFd } from './sent.js';
import type { SharedDescriptor } from './shared-descriptor.js';
import { formatReference, type Reference } from './source.js';
import { type FdConnection, type FdConnectionStats, Transceiver } from './transceiver.js';

/** Told when a connection is about to close, while its exchange is still open. */
export interface ConnectionUser {
  connectionClosing(connection: Connection, error: GrpcFdError): void;
}

/** One connection: the bytes go between its UnixStream and HTTP/2, the descriptors through its exchange. */
export class Connection extends Transceiver implements FdConnection {
  readonly id = randomId();
  readonly role: 'client' | 'server';
  /** What http2 and tls are given. Destroying it closes the connection. */
  readonly socket: StreamSocket;
  readonly exchange: Exchange;
  readonly holdMs: number;
  /**
   * The id by which both ends know this connection: the client's. A server learns it from the first call that carries it;
   * undefined until then, and for ever with a peer that is not this package.
   */
  sharedId: string | undefined;

  /** Called when the kernel dropped descriptors that came in. */
  onDescriptorsLost: (() => void) | undefined;

  readonly #stream: UnixStream;
  readonly #outgoing = new SequenceCounter();
  readonly #users = new Set<ConnectionUser>();
  readonly #closed = new Outcome();

  /**
   * Takes `fd` over, and closes it if it throws.
   *
   * @throws what `options.onConnection` throws; GrpcFdError for options out of range
   */
  constructor(fd: number, role: 'client' | 'server', options: FdConnectionOptions) {
    super();
    this.role = role;
    this.sharedId = role === 'client' ? this.id : undefined;
    const limits = resolveLimits(options);
    this.holdMs = limits.holdMs;
    this.exchange = new Exchange(native, limits);
    // A server learns from the first call's metadata whether its client names descriptors exactly. A client has nothing to
    // learn it from, and must not give up what a server may have named.
    this.exchange.exactPeer = role === 'client';
    try {
      this.#stream = new UnixStream(
        fd,
        {
          onDescriptors: (fds, truncated) => this.#received(fds, truncated),
          onData: (chunk) => this.socket.received(chunk),
          onEnd: () => this.socket.ended(),
          onError: (error) => this.socket.failed(error),
        },
        { reuseReadBuffer: true },
      );
    } catch (error) {
      native.close(fd);
      throw error;
    }
    try {
      const { pid, uid, gid } = this.#stream.peer;
      this.socket = new StreamSocket(this.#stream, `unix:pid=${pid},uid=${uid},gid=${gid}`, () =>
        this.#closing(),
      );
    } catch (error) {
      this.#stream.close();
      throw error;
    }
    try {
      options.onConnection?.(this);
    } catch (error) {
      // Settles what onConnection began, too.
      this.socket.destroy();
      throw error;
    }
  }

  get peer(): { readonly pid: number; readonly uid: number; readonly gid: number } {
    return this.#stream.peer;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  get isOpen(): boolean {
    return !this.#stream.closed;
  }

  stats(): FdConnectionStats {
    return {
      ...this.exchange.stats(),
      bytesRead: this.#stream.bytesRead,
      bytesWritten: this.#stream.bytesWritten,
      sentFds: this.#stream.descriptorsSent,
      pendingFds: this.#stream.pendingDescriptors,
    };
  }

  /**
   * Queues a duplicate of a descriptor: it leaves with the next write. Returns its place among all that were sent on this
   * connection.
   *
   * @throws GrpcFdError `ERR_GRPCFD_SEND_FAILED` (EMFILE): it got no place, and `outcome` will not be told.
   */
  queue(descriptor: SharedDescriptor, outcome: OutcomeSink): number {
    if (this.isOpen) this.#stream.queueDescriptor(new Outgoing(descriptor.duplicate(), outcome));
    else outcome.settle(connectionClosed());
    return this.#outgoing.next();
  }

  /** Resolves a reference to what is sent on this connection; undefined if it is not this connection's. */
  nameOf(reference: Reference): DescriptorName | undefined {
    return reference.id === this.sharedId ? { kind: 'sequence', sequence: reference.number } : undefined;
  }

  addUser(user: ConnectionUser): void {
    this.#users.add(user);
  }

  removeUser(user: ConnectionUser): void {
    this.#users.delete(user);
  }

  protected send(descriptor: SharedDescriptor): SentFd {
    return this.sendNow(descriptor);
  }

  /** Queues `descriptor`, whose reference it takes over. */
  sendNow(descriptor: SharedDescriptor): SentFd {
    const outcome = new Outcome();
    let sequence: number;
    try {
      sequence = this.queue(descriptor, outcome);
    } finally {
      descriptor.release();
    }
    const ref = this.sharedId === undefined ? descriptor.url : formatReference(this.sharedId, sequence);
    return new Sent(descriptor.url, ref, outcome);
  }

  protected receive(name: InodeName | Reference, options: ReceiveOptions | undefined): Promise<number> {
    const known = name.kind === 'reference' ? this.nameOf(name) : name;
    if (known === undefined) return Promise.reject(wrongConnection(name as Reference));
    return receive(this.exchange, known, options);
  }

  #received(fds: number[], truncated: boolean): void {
    if (fds.length > 0) {
      const inodes = native.identify(fds);
      const arrivals: Arrival[] = [];
      for (const [index, fd] of fds.entries()) {
        arrivals.push({ fd, dev: inodes[index * 2] ?? 0n, ino: inodes[index * 2 + 1] ?? 0n });
      }
      this.exchange.arrive(arrivals);
    }
    if (!truncated) return;
    this.exchange.lose();
    this.onDescriptorsLost?.();
  }

  #closing(): void {
    const error = connectionClosed();
    for (const user of [...this.#users]) user.connectionClosing(this, error);
    this.#users.clear();
    this.exchange.close(error);
    this.#closed.settle(null);
  }
}

class Outgoing implements OutgoingDescriptor {
  readonly fd: number;
  readonly #outcome: OutcomeSink;

  constructor(fd: number, outcome: OutcomeSink) {
    this.fd = fd;
    this.#outcome = outcome;
  }

  settled(error: Error | null): void {
    this.#outcome.settle(
      error === null || error instanceof GrpcFdError
        ? error
        : new GrpcFdError('ERR_GRPCFD_SEND_FAILED', `a file descriptor was not sent: ${error.message}`, {
            cause: error,
          }),
    );
  }
}

export function connectionClosed(): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_CONNECTION_CLOSED', 'the connection closed');
}

export function wrongConnection(reference: Reference): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_WRONG_CONNECTION',
    `${formatReference(reference.id, reference.number)} names a descriptor of another connection or call`,
  );
}

/** 72 random bits: enough that two connections of one peer never share an id by chance. */
export function randomId(): string {
  return randomBytes(9).toString('base64url');
}
