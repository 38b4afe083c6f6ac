import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { cutPeerText, quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { Inbox } from '../inbox/inbox.js';
import { resolveLimits } from '../inbox/limits.js';
import type { Arrival, Inode, InodeName, SequenceName } from '../inbox/names.js';
import { type ReceiveOptions, receive } from '../inbox/pending-receive.js';
import { SequenceCounter } from '../inbox/sequence-counter.js';
import { native } from '../native/binding.js';
import type { PeerCredentials } from '../native/types.js';
import type { BridgedStream } from '../socket/bridged-stream.js';
import type { OutgoingDescriptor } from '../socket/outgoing-descriptors.js';
import { descriptorLimit } from '../socket/unread-descriptors.js';
import { setImmediate } from '../timers.js';
import type { CountedFd } from './counted-fd.js';
import {
  type BridgedConnectionListener,
  bridgedConnection,
  connectionFailed,
} from './internals/bridged-socket.js';
import { isStuck, type sessionOf } from './internals/http2-session.js';
import { peerOf } from './open-socket.js';
import type { FdConnectionOptions } from './options.js';
import { formatReference, type Reference } from './reference.js';
import { Outcome, type OutcomeSink, Sent, type SentFd } from './send-outcome.js';
import { type FdConnection, type FdConnectionStats, Transceiver } from './transceiver.js';

/** Is told when a connection is about to close, while its inbox is still open. */
export interface ConnectionUser {
  connectionClosing(connection: Connection): void;
}

export interface ConnectionOrigin {
  /** Of the socket of Node. Default false. */
  readonly allowHalfOpen?: boolean | undefined;
  /** What is said of the process at the other end. Default: what the kernel says. */
  readonly peer?: PeerCredentials | undefined;
}

/** One connection: the bytes go between its UnixStream and HTTP/2, the descriptors through its inbox. */
export class Connection extends Transceiver implements FdConnection {
  readonly id = uniqueId();
  readonly role: 'client' | 'server';
  readonly peer: PeerCredentials | undefined;
  /** The socket for HTTP/2 or TLS. Destroying it closes the connection. */
  readonly socket: Socket;
  readonly inbox: Inbox;
  readonly holdMs: number;
  /** Finds the HTTP/2 session that runs over the connection. */
  findSession: (() => ReturnType<typeof sessionOf>) | undefined;

  /** Called when the kernel dropped descriptors that came in. */
  onDescriptorsLost: (() => void) | undefined;

  readonly #stream: BridgedStream;
  readonly #outgoing = new SequenceCounter();
  readonly #users = new Set<ConnectionUser>();
  readonly #closed = new Outcome();
  #sharedId: string | undefined;
  #exactServer = false;
  #interests = 0;
  #lostDescriptors = false;

  /**
   * Takes `fd` over, and closes it if it throws.
   *
   * @throws OnConnectionError when `options.onConnection` throws; the error of a failed syscall
   */
  constructor(
    fd: number,
    role: 'client' | 'server',
    options: FdConnectionOptions,
    { allowHalfOpen = false, peer }: ConnectionOrigin = {},
  ) {
    super();
    this.role = role;
    this.peer = peer ?? peerOrClose(fd);
    this.#sharedId = role === 'client' ? this.id : undefined;
    const limits = resolveLimits(options);
    this.holdMs = limits.holdMs;
    this.inbox = new Inbox(native, limits);
    // A client learns only from a response whether its server is an exact peer. Until then it must not close a descriptor that
    // the server may have named exactly.
    if (role === 'client') this.inbox.peerKind = 'exact';
    else this.inbox.expectClaims(tableSize);
    socketDevice ??= inodeOf(fd).replace(/[^/]*$/, '');
    const listener: BridgedConnectionListener = {
      onDescriptors: (fds, truncated) => this.#received(fds, truncated),
      onFailed: (error) => this.#failed(error),
      onStalled: () => this.#stalled(),
      onClosed: () => this.#closing(),
    };
    const { socket, stream } = bridgedConnection(fd, allowHalfOpen, listener, nameOf(this.peer));
    this.socket = socket;
    this.#stream = stream;
    try {
      const result = options.onConnection?.(this);
      Promise.resolve(result).catch((cause) => this.#onConnectionFailed(cause));
    } catch (cause) {
      throw this.#onConnectionFailed(cause);
    }
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  get isOpen(): boolean {
    return this.#stream.isOpen;
  }

  /** Whether the kernel has dropped descriptors that came in. It may have happened before {@link onDescriptorsLost} was set, in a TLS handshake. */
  get hasLostDescriptors(): boolean {
    return this.#lostDescriptors;
  }

  stats(): FdConnectionStats {
    return {
      ...this.inbox.stats(),
      bytesRead: this.#stream.bytesRead,
      bytesWritten: this.#stream.bytesWritten,
      sentFds: this.#stream.sentFds,
      pendingFds: this.#stream.pendingFds,
    };
  }

  /** Queues a descriptor, which leaves with the next write. The queue counts as one more holder of it. Returns its sequence number. */
  queue(descriptor: CountedFd, outcome: OutcomeSink): number {
    if (this.isOpen) this.#stream.queueDescriptor(new Outgoing(descriptor.retain(), outcome));
    else outcome.settle(connectionClosed());
    return this.#outgoing.next();
  }

  /** As {@link BridgedStream.insert}. */
  insert(frame: Uint8Array): boolean {
    return this.#stream.insert(frame);
  }

  /** As {@link BridgedStream.hasPeerReadAll}; false once the connection has closed. */
  hasPeerReadAll(): boolean {
    return this.isOpen && this.#stream.hasPeerReadAll;
  }

  /** The id in references to what this end sends; undefined where the peer would not understand one. */
  get sentId(): string | undefined {
    return this.#idOf(this.role);
  }

  /** Resolves a reference to what came in on this connection; undefined if it is not one. */
  nameOf(reference: Reference): SequenceName | undefined {
    const receivedId = this.#idOf(this.role === 'client' ? 'server' : 'client');
    return reference.id === receivedId ? { kind: 'sequence', sequence: reference.number } : undefined;
  }

  /**
   * The id by which both ends know this connection: the client's. A server learns it with {@link learnOfClient}; it stays undefined
   * with a client that is not this package.
   */
  get sharedId(): string | undefined {
    return this.#sharedId;
  }

  /**
   * At a client: the first response to a call that told the connection's id has come. Another answer than that id means that the
   * server is an inode peer. Once a response has shown that the server is an exact peer, later responses cannot change that.
   */
  learnOfServer(answer: string | undefined): void {
    if (answer === this.id) this.#exactServer = true;
    this.inbox.peerKind = this.#exactServer ? 'exact' : 'inode';
  }

  /**
   * At a server: a call carried the metadata that only an exact peer sends, with the client's id of the connection. The first id
   * counts. Returns that one, which is the answer to the client.
   */
  learnOfClient(connectionId: string): string {
    this.#sharedId ??= connectionId;
    this.inbox.peerKind = 'exact';
    return this.#sharedId;
  }

  /** Credentials with a call on this connection may have something to receive from it. */
  addInterest(): void {
    this.#interests++;
  }

  /**
   * They are done. What came, and what nobody received, may have been for any of those who were there when it came, or since: so it is
   * closed when all of them are done, and not before.
   */
  endInterest(): void {
    this.#interests--;
    if (this.#interests === 0) this.inbox.closeIdle();
  }

  addUser(user: ConnectionUser): void {
    this.#users.add(user);
  }

  removeUser(user: ConnectionUser): void {
    this.#users.delete(user);
  }

  protected send(descriptor: CountedFd): SentFd {
    return this.sendNow(descriptor);
  }

  /** Queues `descriptor`, and takes over the caller's count of it. */
  sendNow(descriptor: CountedFd): SentFd {
    if (this.isOpen && this.#stream.isHeldUp) {
      descriptor.release();
      throw new GrpcFdError(
        'ERR_GRPCFD_TOO_MANY_DESCRIPTORS',
        `${this.#stream.pendingFds} file descriptors wait for the peer, which does not read those that were sent before`,
      );
    }
    const outcome = new Outcome();
    const sequence = this.queue(descriptor, outcome);
    descriptor.release();
    const ref = this.sentId === undefined ? descriptor.url : formatReference(this.sentId, sequence);
    return new Sent(descriptor.url, ref, outcome);
  }

  protected receive(
    name: InodeName | Reference,
    options: ReceiveOptions | undefined,
  ): number | Promise<number> {
    const known = name.kind === 'reference' ? this.nameOf(name) : name;
    if (known === undefined) throw wrongConnection(name as Reference);
    return receive(this.inbox, known, options);
  }

  protected check(reference: Reference): void {
    const known = this.nameOf(reference);
    if (known === undefined) throw wrongConnection(reference);
    this.inbox.check(known);
  }

  /**
   * The id in references to what `sender` sent. Each direction has sequence numbers of its own, so the id also tells the sender. Without
   * that, a reference that a server only echoes in its reply would name another descriptor, which has that number in the other direction.
   */
  #idOf(sender: 'client' | 'server'): string | undefined {
    return this.#sharedId === undefined ? undefined : `${this.#sharedId}${sender === 'client' ? 'c' : 's'}`;
  }

  /** The connection is closed, which also settles what onConnection has begun to send and receive. */
  #onConnectionFailed(cause: unknown): Error {
    this.socket.destroy();
    const error = new OnConnectionError(cause);
    process.emitWarning(error.message, { code: 'GRPCFD_ON_CONNECTION', detail: error.stack });
    return error;
  }

  #received(fds: number[], truncated: boolean): void {
    if (fds.length > 0) this.inbox.arrive(fds.map((fd) => this.#arrivalOf(fd)));
    if (!truncated) return;
    this.inbox.lose();
    this.#lostDescriptors = true;
    this.onDescriptorsLost?.();
  }

  /**
   * A peer may send its own end of this connection. This process would then keep the connection open after the peer has gone, with all
   * descriptors that it holds. So that descriptor is closed, and a placeholder keeps its sequence number. A receive of it fails.
   */
  #arrivalOf(fd: number): Arrival {
    const inode = inodeOf(fd);
    try {
      if (!inode.startsWith(socketDevice ?? '')) return { fd, inode };
      if (native.isPlaceholder(fd)) return { fd, inode, isPlaceholder: true };
      if (inode !== this.#stream.peerInode) return { fd, inode };
      const placeholder = native.placeholder();
      native.close(fd);
      return { fd: placeholder, inode: NO_INODE, isPlaceholder: true };
    } catch (cause) {
      // The descriptor table is full.
      setImmediate(() => this.socket.destroy(connectionFailed(cause as Error)));
      return { fd, inode };
    }
  }

  /** A session that is closing, and whose streams have all ended, ends by itself when its users have read what came. */
  #failed(error: Error): void {
    const session = this.findSession?.();
    const usersStillRead = session?.closed === true && !isStuck(session);
    if (!usersStillRead) this.socket.destroy(connectionFailed(error));
  }

  /** A session that has ended without telling Node would keep the connection, its calls and its descriptors for ever. */
  #stalled(): void {
    const session = this.findSession?.();
    if (session !== undefined && isStuck(session)) {
      this.socket.destroy(connectionFailed(new Error('HTTP/2 gave up on what the peer sent')));
    }
  }

  #closing(): void {
    const error = connectionClosed();
    for (const user of [...this.#users]) user.connectionClosing(this);
    this.#users.clear();
    this.inbox.close(error);
    this.#closed.settle(null);
  }
}

/** The user's onConnection failed with `cause`. The process has been given a warning. */
export class OnConnectionError extends Error {
  constructor(cause: unknown) {
    const text = cause instanceof Error ? cutPeerText(cause.message) : quotePeerText(cause);
    super(`onConnection failed, and its connection was closed: ${text}`, { cause });
    // The stack of the cause tells where the user's code failed.
    if (cause instanceof Error && cause.stack !== undefined) this.stack = cause.stack;
  }
}

class Outgoing implements OutgoingDescriptor {
  readonly #descriptor: CountedFd;
  readonly #outcome: OutcomeSink;

  constructor(descriptor: CountedFd, outcome: OutcomeSink) {
    this.#descriptor = descriptor;
    this.#outcome = outcome;
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  settle(error: Error | null): void {
    this.#descriptor.release();
    this.#outcome.settle(
      error === null || error instanceof GrpcFdError
        ? error
        : new GrpcFdError('ERR_GRPCFD_SEND_FAILED', `a file descriptor was not sent: ${error.message}`, {
            cause: error,
          }),
    );
  }
}

function peerOrClose(fd: number): PeerCredentials | undefined {
  try {
    return peerOf(fd);
  } catch (error) {
    native.close(fd);
    throw error;
  }
}

/** For `getPeer()` in handlers. gRPC in C++ also calls a peer of which nothing is known `unix:`. */
function nameOf(peer: PeerCredentials | undefined): string {
  return peer === undefined ? 'unix:' : `unix:pid=${peer.pid},uid=${peer.uid},gid=${peer.gid}`;
}

/**
 * A file system may refuse to tell the inode: FUSE does so to every user except the one that mounted it. Such a file has a sequence
 * number like the others, and the inode 0, which no file has. A receive of it fails.
 */
function inodeOf(fd: number): Inode {
  try {
    return native.inode(fd);
  } catch {
    return NO_INODE;
  }
}

const NO_INODE: Inode = '0/0';

function tableSize(): number {
  knownTableSize ??= descriptorLimit();
  return knownTableSize;
}

let knownTableSize: number | undefined;

/** `<st_dev>/` of every socket, once a connection has shown it. */
let socketDevice: string | undefined;

export function connectionClosed(): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_CONNECTION_CLOSED', 'the connection closed');
}

export function wrongConnection(reference: Reference): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_WRONG_CONNECTION',
    `${quotePeerText(formatReference(reference.id, reference.number))} names a descriptor of another connection or call. ` +
      'Was the call that brought it started with the options() of these credentials?',
  );
}

/**
 * Unique among all connections and credentials that a peer may ever see: 72 random bits of this thread, which no two threads share by
 * chance, then a count in decimal digits. The random part always has the same length, and a letter for the sender may follow the count,
 * so no id with its letter is another id. Ids need not be secret: a name is only valid on the connection, or in the call, that it came
 * with.
 */
export function uniqueId(): string {
  lastId++;
  return `${THREAD_ID}${lastId}`;
}

const THREAD_ID = randomBytes(9).toString('base64url');
let lastId = 0;
