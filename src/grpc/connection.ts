import type { Socket } from 'node:net';
import { GrpcFdError } from '../errors.js';
import { descriptorsDropped } from '../inbox/failures.js';
import type { DescriptorOperations } from '../inbox/held-descriptors.js';
import { heldFds } from '../inbox/held-total.js';
import { Inbox } from '../inbox/inbox.js';
import { resolveLimits } from '../inbox/limits.js';
import type { InodeName, SequenceName } from '../inbox/names.js';
import { type ReceiveOptions, receive } from '../inbox/pending-receive.js';
import { SequenceCounter } from '../inbox/sequence-counter.js';
import { native } from '../native/binding.js';
import type { BridgedStream } from '../socket/bridged-stream.js';
import { tableSize } from '../socket/table-size.js';
import { setImmediate } from '../timers.js';
import { arrivalsOf } from './arrival.js';
import { ClosePressure } from './close-pressure.js';
import {
  connectionClosed,
  notAccepted,
  OnConnectionError,
  tooManyInHandshake,
  wrongConnection,
} from './connection-failures.js';
import { ConnectionPeer, type PeerOrigin } from './connection-peer.js';
import type { CountedFd } from './counted-fd.js';
import { CountingTransceiver } from './counting-transceiver.js';
import { keepReserve, restoreReserve } from './descriptor-reserve.js';
import { connectionClose, connectionOpen, log, publish } from './diagnostics.js';
import type { FdConnection, FdConnectionStats } from './fd-transceiver.js';
import { Handshake } from './handshake.js';
import {
  type BridgedConnection,
  type BridgedConnectionListener,
  bridgedConnection,
  connectionFailed,
} from './internals/bridged-socket.js';
import { isStuck, type sessionOf } from './internals/http2-session.js';
import { writesLastFlight } from './internals/last-flight.js';
import type { FdConnectionOptions } from './options.js';
import { Outgoing } from './outgoing.js';
import type { Peer } from './peer.js';
import { formatReference, type Reference } from './reference.js';
import { Outcome, type OutcomeSink, Sent, type SentFd } from './send-outcome.js';
import type { Account, SharedLimits } from './shared-limits.js';
import { totals } from './totals.js';
import { uniqueId } from './unique-id.js';

/** Is told when a connection is about to close, while its inbox is still open. */
export interface ConnectionUser {
  connectionClosing(connection: Connection): void;
}

export interface ConnectionOrigin extends PeerOrigin {
  /** Of the socket of Node. Default false. */
  readonly allowHalfOpen?: boolean | undefined;
  /** What it shares with other connections. */
  readonly limits: SharedLimits;
  /** Default: the connection is an account of its own. */
  readonly account?: Account | undefined;
}

/** One connection: the bytes go between its UnixStream and HTTP/2, the descriptors through its inbox. */
export class Connection extends CountingTransceiver implements FdConnection {
  readonly id = uniqueId();
  readonly role: 'client' | 'server';
  /** The socket for HTTP/2 or TLS. Destroying it closes the connection. */
  readonly socket: Socket;
  readonly inbox: Inbox;
  readonly holdMs: number;
  /** Finds the HTTP/2 session that runs over the connection. */
  findSession: (() => ReturnType<typeof sessionOf>) | undefined;

  /** Called when descriptors that came in were lost. */
  onDescriptorsLost: (() => void) | undefined;

  readonly #peer: ConnectionPeer;
  readonly #limits: SharedLimits;
  readonly #account: Account | undefined;
  readonly #acceptsFds: boolean;
  /** Why it was closed, if a user has done so. */
  #closedBy: Error | undefined;
  readonly #stream: BridgedStream;
  readonly #closes: ClosePressure;
  readonly #outgoing = new SequenceCounter();
  readonly #users = new Set<ConnectionUser>();
  readonly #closed = new Outcome();
  #sharedId: string | undefined;
  #gaveReference = false;
  /** Undefined once the handshake has ended, and its last bytes have been sent. */
  #handshake: Handshake | undefined = new Handshake();

  /**
   * Takes `fd` over, and closes it if it throws.
   *
   * @throws OnConnectionError when `options.onConnection` throws; the error of a failed syscall
   */
  constructor(
    fd: number,
    role: 'client' | 'server',
    options: FdConnectionOptions,
    { allowHalfOpen = false, limits: shared, account, ...origin }: ConnectionOrigin,
  ) {
    super();
    this.role = role;
    this.#peer = new ConnectionPeer(fd, origin);
    this.#limits = shared;
    this.#account = account;
    this.#acceptsFds = options.acceptFds !== false;
    this.#sharedId = role === 'client' ? this.id : undefined;
    const limits = resolveLimits(options);
    this.holdMs = limits.holdMs;
    this.inbox = new Inbox(INBOX_OPERATIONS, limits);
    this.inbox.watch(this);
    if (role === 'server') this.inbox.expectClaims(tableSize);
    if (!this.#acceptsFds) this.#refuseFds(fd);
    const listener: BridgedConnectionListener = {
      onDescriptors: (fds, truncated) => this.#received(fds, truncated),
      onFailed: (error) => this.#failed(error),
      onStalled: () => this.#stalled(),
      onClosed: () => this.#closing(),
    };
    const { socket, stream } = this.#bridge(fd, allowHalfOpen, listener);
    this.socket = socket;
    this.#stream = stream;
    this.#closes = new ClosePressure(stream, (waiting) => this.#endForCloses(waiting));
    this.inbox.countTo(shared.total, account);
    shared.connectionOpened(this, account);
    totals.connections++;
    totals.openedConnections++;
    if (connectionOpen.hasSubscribers) publish(connectionOpen, { connection: this });
    if (log.enabled) this.log(`open, to ${this.#peer.name}`);
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

  get peer(): Peer | undefined {
    return this.#peer.describe(this.isOpen);
  }

  /** Why descriptors that came in were lost. It may have happened before {@link onDescriptorsLost} was set, in a TLS handshake. */
  get descriptorsLost(): GrpcFdError | undefined {
    return this.#acceptsFds ? this.inbox.loss : undefined;
  }

  /** Why the connection was closed: a user has done that with `error`. */
  get closedBy(): Error | undefined {
    return this.#closedBy;
  }

  close(error?: Error): void {
    if (!this.isOpen) return;
    this.#closedBy = error ?? new Error('close() was called');
    // Nobody may be there to listen, before there is a session.
    this.socket.on('error', () => {});
    this.socket.destroy(connectionFailed(this.#closedBy));
  }

  protected get self(): FdConnection {
    return this;
  }

  /**
   * The TLS handshake has ended, or there is none. What was queued before leaves with the next write.
   *
   * @param socket that of the HTTP/2 session, which may be a TLS socket
   */
  handshakeEnded(socket: Socket): void {
    const handshake = this.#handshake;
    if (handshake === undefined) return;
    handshake.end();
    const release = () => {
      this.#handshake = undefined;
      for (const descriptor of handshake.takeWaiting()) this.#stream.queueDescriptor(descriptor);
    };
    // The peer's handshake ends when it has read our last bytes of it. No descriptor may come before.
    if (writesLastFlight(socket, this.role)) this.#stream.afterAnswer(release);
    else release();
  }

  stats(): FdConnectionStats {
    return {
      ...this.inbox.stats(),
      ...this.ownStats(),
      bytesRead: this.#stream.bytesRead,
      bytesWritten: this.#stream.bytesWritten,
      sentFds: this.#stream.sentFds,
      pendingFds: this.#stream.pendingFds + (this.#handshake?.pending ?? 0),
      closingFds: this.#stream.closingFds,
    };
  }

  /**
   * Queues a descriptor, which leaves with the next write after the handshake. The queue counts as one more holder of it. Returns its
   * sequence number.
   */
  queue(descriptor: CountedFd, outcome: OutcomeSink): number {
    if (!this.isOpen) outcome.settle(connectionClosed());
    else if (this.#handshake !== undefined) this.#handshake.wait(new Outgoing(descriptor, outcome, this));
    else this.#stream.queueDescriptor(new Outgoing(descriptor, outcome, this));
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

  /** The sequence number of the latest descriptor that was queued. */
  get lastQueued(): number {
    return this.#outgoing.last;
  }

  /** The id in references to what this end sends; undefined where the peer would not understand one. */
  get sentId(): string | undefined {
    return this.inbox.peerKind === 'inode' ? undefined : this.#idOf(this.role);
  }

  /**
   * At a client: the connection has sent something with a reference of its own, and no response has shown whether the server knows the id
   * in that reference. Until then every call tells it the id.
   */
  get needsAnnouncement(): boolean {
    return this.#gaveReference && this.inbox.peerKind === 'unknown';
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

  /** At a client: a response has shown that the server is an exact peer. Later responses cannot change that. */
  learnOfExactServer(): void {
    this.inbox.peerKind = 'exact';
  }

  /** At a client: the response to a call that told the connection's id does not answer with that id. */
  learnOfInodeServer(): void {
    if (this.inbox.peerKind === 'unknown') this.inbox.peerKind = 'inode';
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

  /** At a server: the first call has shown that the client is not this package. A call that carries the metadata of {@link learnOfClient} outweighs that. */
  learnOfOtherClient(): void {
    if (this.inbox.peerKind === 'unknown') this.inbox.peerKind = 'inode';
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
    if (this.isOpen && this.#stream.isHeldUp(heldFds() + FDS_OF_CONNECTION * totals.connections)) {
      descriptor.release();
      throw new GrpcFdError(
        'ERR_GRPCFD_TOO_MANY_DESCRIPTORS',
        `${this.#stream.pendingFds} file descriptors wait to be sent on this connection: its peer does not read those that were sent before, ` +
          'or little is left of the descriptor table',
      );
    }
    const outcome = new Outcome();
    const sequence = this.queue(descriptor, outcome);
    descriptor.release();
    const id = this.sentId;
    if (id === undefined) return new Sent(descriptor.url, descriptor.url, outcome);
    this.#gaveReference = true;
    return new Sent(descriptor.url, formatReference(id, sequence), outcome);
  }

  protected receive(
    name: InodeName | Reference,
    options: ReceiveOptions | undefined,
  ): number | Promise<number> {
    return receive(this.inbox, this.#known(name), options);
  }

  protected take(name: Reference, keep: boolean): number;
  protected take(name: InodeName | Reference, keep: boolean): number | undefined;
  protected take(name: InodeName | Reference, keep: boolean): number | undefined {
    return this.inbox.take(this.#known(name), undefined, keep);
  }

  protected check(reference: Reference, look?: (fd: number) => void): void {
    this.inbox.check(this.#known(reference), undefined, look);
  }

  #known(name: Reference): SequenceName;
  #known(name: InodeName | Reference): InodeName | SequenceName;
  #known(name: InodeName | Reference): InodeName | SequenceName {
    const known = name.kind === 'reference' ? this.nameOf(name) : name;
    if (known === undefined) throw wrongConnection(name as Reference);
    return known;
  }

  /**
   * The id in references to what `sender` sent. Each direction has sequence numbers of its own, so the id also tells the sender. Without
   * that, a reference that a server only echoes in its reply would name another descriptor, which has that number in the other direction.
   */
  #idOf(sender: 'client' | 'server'): string | undefined {
    return this.#sharedId === undefined ? undefined : `${this.#sharedId}${sender === 'client' ? 'c' : 's'}`;
  }

  #bridge(fd: number, allowHalfOpen: boolean, listener: BridgedConnectionListener): BridgedConnection {
    try {
      return bridgedConnection(fd, allowHalfOpen, listener, this.#peer.name);
    } catch (error) {
      this.#peer.forget();
      throw error;
    }
  }

  /** The connection is closed, which also settles what onConnection has begun to send and receive. */
  #onConnectionFailed(cause: unknown): Error {
    this.socket.destroy();
    const error = new OnConnectionError(cause);
    process.emitWarning(error.message, { code: 'GRPCFD_ON_CONNECTION', detail: error.stack });
    return error;
  }

  /** The kernel refuses them where it can. What comes all the same is closed. */
  #refuseFds(fd: number): void {
    native.refuseRights(fd);
    this.inbox.lose(notAccepted);
  }

  #received(fds: number[], truncated: boolean): void {
    if (!this.#acceptsFds) {
      native.closeAll(fds);
      if (fds.length > 0) this.fdsNotAccepted(fds.length);
      this.#closes.look();
      return;
    }
    const room = this.#handshake?.roomFor(this.inbox.stats().heldFds) ?? fds.length;
    const excess = fds.length > room ? fds.splice(room) : [];
    if (fds.length > 0) {
      this.fdsReceived(fds.length);
      // Before, because the inbox may close some of them.
      const highest = Math.max(...fds);
      this.inbox.arrive(arrivalsOf(fds, this.#peerInode, this.#tableIsFull));
      keepReserve(highest);
    }
    this.#closes.look();
    if (!truncated && excess.length === 0) return;
    if (truncated) restoreReserve();
    native.closeAll(excess);
    this.inbox.lose(excess.length === 0 ? undefined : tooManyInHandshake);
    this.fdsLost(excess.length === 0 ? descriptorsDropped() : tooManyInHandshake());
    this.onDescriptorsLost?.();
  }

  readonly #peerInode = (): string | undefined => this.#stream.peerInode;

  readonly #tableIsFull = (error: Error): void => {
    setImmediate(() => this.socket.destroy(connectionFailed(error)));
  };

  /** A peer may send what takes for ever to close, and takes up room in the table until then. */
  #endForCloses(waiting: number): void {
    const error = new Error(
      `${waiting} file descriptors that the peer sent wait to be closed, and none has been for a second`,
    );
    setImmediate(() => this.socket.destroy(connectionFailed(error)));
  }

  /** A session that is closing, and whose streams have all ended, ends by itself when its users have read what came. */
  #failed(error: Error): void {
    const session = this.findSession?.();
    const usersStillRead = session?.closed === true && !isStuck(session);
    if (!usersStillRead) this.socket.destroy(connectionFailed(error));
  }

  /**
   * A session that has ended without telling Node would keep the connection, its calls and its descriptors for ever. So would one that Node
   * 20.19 has destroyed after a write that failed: its socket waits for the end of the other side, and never reads again, stock too.
   */
  #stalled(): void {
    const session = this.findSession?.();
    if (session !== undefined && (session.destroyed || isStuck(session))) {
      this.socket.destroy(connectionFailed(new Error('HTTP/2 gave up on what the peer sent')));
    }
  }

  #closing(): void {
    this.#closes.end();
    this.#peer.forget();
    const reason = () => connectionClosed(this.#closedBy);
    for (const user of [...this.#users]) user.connectionClosing(this);
    this.#users.clear();
    for (const descriptor of this.#handshake?.takeWaiting() ?? []) descriptor.settle(reason());
    this.inbox.close(reason);
    this.#limits.connectionClosed(this, this.#account);
    totals.connections--;
    if (connectionClose.hasSubscribers)
      publish(connectionClose, { connection: this, stats: this.stats(), error: this.#closedBy });
    if (log.enabled) this.log(`closed${this.#closedBy === undefined ? '' : `: ${this.#closedBy.message}`}`);
    this.#closed.settle(null);
  }
}

const INBOX_OPERATIONS: DescriptorOperations = {
  duplicate: (fd) => native.duplicate(fd),
  close: (fd) => native.close(fd),
  closeAll: (fds) => native.closeAll(fds),
};

/** The socket, Node's number for it, and the two ends of the pair. */
const FDS_OF_CONNECTION = 4;
