/** What sends and receives, as its users see it. */
import type { ReceivedFile } from '../descriptor/received-file.js';
import type { Peer } from './peer.js';
import type { ReceiveFileOptions, ReceiveFilesOptions } from './receive-options.js';
import type { DescriptorSource } from './reference.js';
import type { SentFd } from './send-outcome.js';
import type { Sendable, SendableObject } from './sendable.js';

/** Options of {@link FdTransceiver.sendFilename}. */
export interface SendFilenameOptions {
  /**
   * Flags of open(2): a number made of `fs.constants`, or one of Node's 'r', 'r+', 'w', 'w+', 'a', 'a+'. Default `O_PATH`. With it,
   * sockets, namespaces and files without read permission can be sent. The receiver cannot read through such a descriptor, but can
   * open it again with `reopen()`, if it has the permission.
   */
  readonly flags?: number | string | undefined;
}

/**
 * Sends and receives descriptors: for a call in its handler, for the calls of a client's credentials, or on a connection.
 *
 * A descriptor that is sent stays the caller's: a duplicate is made before the method returns. A receive gives a duplicate, which belongs
 * to the caller, who closes it. A promise of a receive that rejects without a handler does not end the process.
 */
export interface FdTransceiver {
  /**
   * Sends a duplicate of the descriptor `fd`, which stays the caller's.
   *
   * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_SEND_FAILED` (EBADF, EMFILE), `ERR_GRPCFD_CLOSED`,
   * `ERR_GRPCFD_TOO_MANY_DESCRIPTORS`
   */
  sendFd(fd: number): SentFd;
  /**
   * {@link sendFd} for an object that has a descriptor: see {@link SendableObject}. The object stays the caller's, who may close it when this
   * returns.
   *
   * - A connection (`net.Socket`, `FdSocket`, `child.stdout`) is read by its receiver from then on. It is paused here, and reading has stopped
   *   below it. It is refused if bytes of it were read already, or wait to be written. Close it with `destroy()`: `end()` would end it for
   *   the receiver, too. If the receiver did not get it, `resume()` goes on here.
   * - A server accepts connections in both processes until it is closed in one of them. `close()` of it leaves the file of a unix socket if
   *   another process has the socket then. So does `close()` of an `FdListener`.
   * - A `dgram.Socket` gives each datagram to one of the two processes, until it is closed in one of them.
   *
   * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` for what has no descriptor (a `TLSSocket`, what is destroyed or not connected yet, the
   * server of a worker of node:cluster that its primary process listens for) or would lose bytes. The text says why. The errors of
   * {@link sendFd}
   */
  sendFile(file: SendableObject): SentFd;
  /**
   * Opens the file at `path` and sends it. Links are followed, those of /proc too. The file is opened before this returns, in the thread
   * of the caller, to which /proc/thread-self refers then. Nothing stays open that the caller would have to close. It does not wait for a
   * FIFO: one that has no writer yet is opened for reading, and its receiver waits; one that has no reader cannot be opened for writing
   * (ENXIO). For a path that may lie on FUSE, NFS or autofs, use `openFile()` and {@link sendFile}.
   *
   * @throws GrpcFdError `ERR_GRPCFD_OPEN_FAILED`, `ERR_GRPCFD_INVALID_ARGUMENT`; the errors of {@link sendFd}
   */
  sendFilename(path: string, options?: SendFilenameOptions): SentFd;
  /**
   * Receives a descriptor, and waits for it if it is named by its inode. The promise resolves to the number of a descriptor that belongs
   * to the caller, who closes it. By `ref` the descriptor that came is handed over, once: a second receive of it fails. With
   * `{ keep: true }`, and always by URL, the caller gets a duplicate, and the descriptor can be received again.
   *
   * It rejects with a GrpcFdError when the descriptor can never come: `ERR_GRPCFD_ALREADY_RECEIVED`, `ERR_GRPCFD_CALL_ENDED`,
   * `ERR_GRPCFD_CLOSED`, `ERR_GRPCFD_HOLD_EXPIRED`, `ERR_GRPCFD_CONNECTION_CLOSED`, `ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT`,
   * `ERR_GRPCFD_DESCRIPTORS_LOST`, `ERR_GRPCFD_NOT_FOUND`, `ERR_GRPCFD_TOO_MANY_DESCRIPTORS`, `ERR_GRPCFD_WRONG_CONNECTION`,
   * `ERR_GRPCFD_REFERENCE_MISMATCH`; or when this receive fails: `ERR_GRPCFD_ABORTED`, `ERR_GRPCFD_TIMEOUT`,
   * `ERR_GRPCFD_TOO_MANY_RECEIVES`, `ERR_GRPCFD_RECEIVE_FAILED`, `ERR_GRPCFD_UNEXPECTED_KIND`, `ERR_GRPCFD_INVALID_URL`,
   * `ERR_GRPCFD_INVALID_REFERENCE`, `ERR_GRPCFD_INVALID_ARGUMENT`.
   */
  recvFd(source: DescriptorSource, options?: ReceiveFileOptions): Promise<number>;
  /**
   * {@link recvFd}, with a {@link ReceivedFile} that owns the descriptor. The caller closes the file. The file is looked at before it is
   * handed over. If the look fails with `ERR_GRPCFD_RECEIVE_FAILED`, a descriptor that was named by `ref` can still be received.
   */
  recvFile(source: DescriptorSource, options?: ReceiveFileOptions): Promise<ReceivedFile>;
  /**
   * Sends several descriptors, and returns the fields of a message that name them: `{ path, ...fds.refs({ input, output }) }`. The
   * files stay the caller's. Where one of them cannot be sent, this throws, but those before it are sent.
   *
   * @throws the errors of {@link sendFd}
   */
  refs<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files>;
  /**
   * {@link refs} with URLs in place of references, for a peer that is the Go package.
   *
   * @throws the errors of {@link sendFd}
   */
  urls<Files extends SendableFiles<Files>>(files: Files): NamesOf<Files>;
  /**
   * Receives the descriptors that the given fields of a message name, all or none. Every `ref` is checked, every file is looked at and every
   * duplicate is made before any descriptor is handed over. If this fails, all of them can still be received. Later, a URL can fail, or
   * a file can be another one than `expect` asks for: the other waits end then, the descriptors that came are closed, and the promise rejects with the errors of {@link recvFd}. If two fields
   * have one name, the first gets a duplicate. The files belong to the caller. `await using` closes them all, and each of
   * them can be closed or released alone.
   */
  recvFiles<Field extends string>(
    message: Readonly<Record<Field, DescriptorSource>>,
    fields: readonly Field[],
    options?: ReceiveFilesOptions<Field>,
  ): Promise<ReceivedFiles<Field>>;
  /**
   * Receives a descriptor from another transceiver and sends it, in one step: for a handler that passes a descriptor on to a backend. With
   * `{ keep: true }` it can be received again, for a second backend, and so it can if it could not be sent. The caller has nothing to close. The promise rejects with the errors
   * of {@link recvFd} and {@link sendFd}.
   */
  forward(from: FdTransceiver, source: DescriptorSource, options?: ReceiveFileOptions): Promise<SentFd>;
}

/** An object of which each field can be sent. */
export type SendableFiles<Files> = { readonly [Field in keyof Files & string]: Sendable };

/** The same fields with the names to put into a message. */
export type NamesOf<Files> = { [Field in keyof Files & string]: string };

/** A file for each field of a message. They belong to the caller, who closes them. */
export type ReceivedFiles<Field extends string> = Record<Field, ReceivedFile> & AsyncDisposable;

/** The transceiver of a call, in its handler. */
export interface FdServerCall extends FdTransceiver {
  /**
   * The descriptors that the client attached to the call, in the order in which it did. Each file belongs to the caller, who closes it.
   * There are none from a client that is not this package. The iteration ends with an error of {@link FdTransceiver.recvFd} where one of
   * them did not arrive, or is not what `expect` asks for. It can be iterated again then, which goes on behind that one.
   */
  received(options?: Pick<ReceiveFileOptions, 'expect'>): AsyncIterableIterator<ReceivedFile>;
  /** The connection of the call: who is at its other end, and how to end it. Undefined if the connection carries no descriptors. */
  readonly connection: FdConnection | undefined;
}

/** Counters of a connection. Those without "now" count since the connection began. */
export interface FdConnectionStats {
  /** Bytes received. */
  readonly bytesRead: number;
  /** Bytes that the kernel took. */
  readonly bytesWritten: number;
  /** Descriptors received. */
  readonly receivedFds: number;
  /** Descriptors that the kernel took. */
  readonly sentFds: number;
  /** Descriptors that wait now for bytes to travel with. */
  readonly pendingFds: number;
  /** Descriptors held now, idle or claimed. */
  readonly heldFds: number;
  /** Descriptors held now and claimed by running calls. */
  readonly claimedFds: number;
  /** Descriptors that wait now for a thread which closes them. */
  readonly closingFds: number;
  /** Receives that wait now. */
  readonly pendingReceives: number;
  /** Descriptors closed because more than `maxHeldFds` were idle. */
  readonly evictedFds: number;
  /** Descriptors closed because they were idle for `holdMs`. */
  readonly expiredFds: number;
  /** Descriptors closed because a newer one of the same inode came from a peer that names descriptors by URL alone. */
  readonly supersededFds: number;
  /** Descriptors closed because all connections held more than `maxHeldFdsTotal`, and the account of this one the most. */
  readonly evictedFdsTotal: number;
  /** Descriptors that ended calls had received by URL, and that were closed because the descriptor table of the process was about full. */
  readonly evictedFdsFullTable: number;
  /** Descriptors that receivers were given, duplicates included. */
  readonly takenFds: number;
  /** Descriptors closed that nobody had received, for any reason. */
  readonly closedFds: number;
  /** Descriptors that were closed as soon as they came (`acceptFds: false`), and those that the kernel refused to send. */
  readonly refusedFds: number;
  /** Calls that were refused, because of the descriptors that came with them (`methods`). */
  readonly refusedCalls: number;
  /** Receives that were refused (`maxPendingReceives`). */
  readonly refusedReceives: number;
  /** How often descriptors were lost. How many is not known. */
  readonly losses: number;
}

/**
 * One connection that carries descriptors, as `onConnection` gets it. It receives idle descriptors only, not those that a call claims.
 */
export interface FdConnection extends FdTransceiver {
  /** Unique to the connection, on this machine and on any other. */
  readonly id: string;
  /** Which end of the connection this process is. */
  readonly role: 'client' | 'server';
  /**
   * The process at the other end, at the time at which it connected or began to listen (SO_PEERCRED). At a client, that is the process which
   * called `listen()`: under socket activation it is the service manager, and not the server. Undefined at the end of a socketpair, whose
   * credentials are those of the process that made it: at a server, `serveConnection()` can be given the peer. Its groups and its label are
   * asked for when this is first read; they are left out if the connection has closed before.
   */
  readonly peer: Peer | undefined;
  /** Resolves when the connection has closed. It never rejects. */
  readonly closed: Promise<void>;
  /** The counters of the connection, as they are now. */
  stats(): FdConnectionStats;
  /**
   * Ends the connection at once, with its calls and with what it holds. At the other end it is as if this process had hung up. Calls of
   * this client fail with UNAVAILABLE and the text of `error`, and receives that wait with `ERR_GRPCFD_CONNECTION_CLOSED`, whose `cause` is
   * `error`. A channel connects anew for its next call. May be called at any time, in `onConnection` too, and again, which does nothing.
   *
   * @param error the reason. Default: none
   */
  close(error?: Error): void;
}
