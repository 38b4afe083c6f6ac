// Half of this file are doc comments. Its methods are short: what they do is in a file for each kind.

import type { Socket as DatagramSocket } from 'node:dgram';
import { type BigIntStats, fstat } from 'node:fs';
import type { Server as NetServer, Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { anInteger, check, grpcComplaint } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { closed } from '../native/closed.js';
import type { FileKind } from '../native/file-types.js';
import type { FdSocket } from '../socket/fd-socket.js';
import { closedByOwner, closeWhenCollected } from './close-when-collected.js';
import { type DialOptions, dial } from './dial.js';
import {
  checkOpenIn,
  type DirectoryEntry,
  type OpenInOptions,
  openIn,
  type ReaddirOptions,
  readDirectory,
} from './directory.js';
import { Ending, untilAborted } from './ending.js';
import { adoptEventFd, type EventFd } from './event-fd.js';
import { type EndingCall, FileContent, type FilePosition } from './file-content.js';
import { assertExpected, type Expectation, type FileAccess } from './file-kind.js';
import { type FileLook, lookAt } from './file-look.js';
import {
  checkReadFileOptions,
  checkTransfer,
  type FileRead,
  type FileReadOptions,
  type FileWritten,
  type ReadFileOptions,
} from './file-options.js';
import {
  channelReadStream,
  channelWriteStream,
  checkReadStreamOptions,
  checkWriteStreamOptions,
  type ReadStreamOptions,
  readStream,
  type WriteStreamOptions,
  writeStream,
} from './file-streams.js';
import { type MapOptions, type MappedMemory, mapSealed } from './mapped-memory.js';
import { type Namespace, namespaceOf } from './namespace.js';
import { openWithoutWaiting } from './open-file.js';
import { type SocketInfo, socketInfoOf } from './socket-info.js';
import {
  type ToFdSocketOptions,
  type ToServerOptions,
  type ToSocketOptions,
  toDatagramSocket,
  toFdSocket,
  toServer,
  toSocket,
} from './take-over.js';

const fstatAsync = promisify(fstat);

const flagsOfOpen = anInteger(0, 2 ** 31 - 1);

/**
 * Owns one received descriptor, and closes it once: at {@link close}, at the end of a `using` or `await using` block, or when this
 * object is collected, which gives a process warning with the code `GRPCFD_UNCLOSED`.
 *
 * The open file is shared with the sender, and so are its offset and its flags. Methods that take a position do not use the shared
 * offset when they are given one. A failed syscall rejects with Node's own error (`code` 'EIO'). Every operation on a file that was closed
 * or released fails with `ERR_GRPCFD_FILE_CLOSED`. A wrong argument or option fails with `ERR_GRPCFD_INVALID_ARGUMENT`.
 */
export class ReceivedFile implements Disposable, AsyncDisposable {
  /** `inode://<dev>/<ino>` of the file. */
  readonly url: string;
  /** What it is: see {@link FileKind}. */
  readonly kind: FileKind;
  /** What it gives access to: see {@link FileAccess}. */
  readonly access: FileAccess;
  /** Whether it was opened with O_APPEND when it was received: all writes go to the end of the file. Its sender can change that. */
  readonly append: boolean;
  /** Whether it was opened with O_PATH. Such a file can be sent on, looked at and reopened, but not read. */
  readonly pathOnly: boolean;

  readonly #content: FileContent;
  #fd: number | undefined;
  #inFlight = 0;
  #onIdle: (() => void) | undefined;
  /** What runs in threads of its own. */
  #ending: Ending | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Takes ownership of `fd`, the number of an open descriptor. When this throws, `fd` is closed.
   *
   * @param expect what the file must be. Default: anything
   * @throws GrpcFdError `ERR_GRPCFD_RECEIVE_FAILED` when the kernel does not tell what `fd` is. Its cause is the failed syscall.
   * `ERR_GRPCFD_UNEXPECTED_KIND` when it is not as expected
   */
  constructor(fd: number, expect?: Expectation);
  /** @internal With what {@link lookAt} has told of `fd`. */
  constructor(fd: number, expect: Expectation | undefined, look: FileLook | undefined);
  constructor(fd: number, expect?: Expectation, look?: FileLook) {
    const { url, kind, access, append, pathOnly, device, isBlockDevice } = lookOrClose(fd, expect, look);
    this.url = url;
    this.kind = kind;
    this.access = access;
    this.append = append;
    this.pathOnly = pathOnly;
    this.#content = new FileContent({ fd, url, kind, access, device }, isBlockDevice, this);
    this.#fd = fd;
    native.guard(fd);
    closeWhenCollected(this, fd, `A ReceivedFile (fd ${fd}, ${this.url})`);
  }

  /**
   * The number of the descriptor. It belongs to this object: it can be sent and looked at, but must not be closed by others.
   *
   * @throws GrpcFdError `ERR_GRPCFD_FILE_CLOSED`
   */
  get fd(): number {
    if (this.#fd !== undefined) return this.#fd;
    throw this.#closedError();
  }

  /**
   * Another file with a descriptor of its own, of the same open file: the offset and the flags are shared. It is the caller's to close.
   *
   * @throws GrpcFdError `ERR_GRPCFD_FILE_CLOSED`; `ERR_GRPCFD_RECEIVE_FAILED` when the descriptor table is full
   */
  duplicate(): ReceivedFile {
    const { fd } = this;
    try {
      return new ReceivedFile(native.duplicate(fd));
    } catch (cause) {
      if (cause instanceof GrpcFdError) throw cause;
      const text = `${this.url} cannot be duplicated: ${(cause as Error).message}`;
      throw new GrpcFdError('ERR_GRPCFD_RECEIVE_FAILED', text, { cause });
    }
  }

  /** Closed, being closed, or released. */
  get closed(): boolean {
    return this.#fd === undefined;
  }

  /** What `fstat` tells about the file, in bigints. */
  stat(): Promise<BigIntStats> {
    return this.#operate((fd) => fstatAsync(fd, { bigint: true }));
  }

  /** @internal From the end of `call` on, nothing waits to read or write this file. */
  endWith(call: EndingCall): void {
    this.#content.endWith(call);
  }

  /**
   * Reads up to `length` bytes. A pipe, socket or terminal is waited for until it has some, without a thread, until its end, `close()`, the
   * `signal`, or the end of the call in whose handler it was received.
   *
   * @param buffer where the bytes are put
   * @param options or the index in `buffer` of the first byte. Default 0
   * @param length in bytes. Default: what fits into `buffer` behind the index
   * @param position of the first byte in the file. Default: where the last `read` or `write` without a position ended, at first 0. The
   * offset that is shared with the sender is used, and moved, with `'shared'` alone.
   * @throws GrpcFdError `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`, `ERR_GRPCFD_ABORTED`,
   * `ERR_GRPCFD_CALL_ENDED`, `ERR_GRPCFD_WOULD_BLOCK`; the error of a failed syscall (ESPIPE for a position in a pipe or socket)
   */
  read<Target extends NodeJS.ArrayBufferView>(
    buffer: Target,
    options?: number | FileReadOptions,
    length?: number,
    position?: FilePosition,
  ): Promise<FileRead<Target>> {
    return this.#transfer(async (fd) => {
      const checked = checkTransfer(buffer, options, length, position);
      return { bytesRead: await this.#content.read(fd, checked.bytes, checked.position, checked), buffer };
    });
  }

  /**
   * Writes up to `length` bytes. It may write fewer than it was given, as the syscall may. A pipe, socket or terminal is waited for until it
   * takes some: see {@link read}.
   *
   * @param buffer holds the bytes
   * @param options or the index in `buffer` of the first byte. Default 0
   * @param length in bytes. Default: all of `buffer` behind the index
   * @param position of the first byte in the file. Default: where the last `read` or `write` without a position ended, at first 0. The
   * offset that is shared with the sender is used, and moved, with `'shared'` alone.
   * @throws the errors of {@link read}
   */
  write<Source extends NodeJS.ArrayBufferView>(
    buffer: Source,
    options?: number | FileReadOptions,
    length?: number,
    position?: FilePosition,
  ): Promise<FileWritten<Source>> {
    return this.#transfer(async (fd) => {
      const checked = checkTransfer(buffer, options, length, position);
      return {
        bytesWritten: await this.#content.write(fd, checked.bytes, checked.position, checked),
        buffer,
      };
    });
  }

  /**
   * Reads the whole file from its first byte. The shared offset is neither used nor moved. A pipe, socket or terminal, which has no
   * positions, is read to its end, and waited for as by {@link read}.
   *
   * @throws GrpcFdError `ERR_GRPCFD_FILE_TOO_LARGE`; the errors of {@link read}
   */
  readFile(
    options: BufferEncoding | (ReadFileOptions & { readonly encoding: BufferEncoding }),
  ): Promise<string>;
  /** The same, without an encoding: the result is a Buffer. */
  readFile(options?: ReadFileOptions & { readonly encoding?: undefined }): Promise<Buffer>;
  readFile(options: BufferEncoding | ReadFileOptions = {}): Promise<string | Buffer> {
    const reading = this.#transfer(async (fd) => {
      const { encoding, maxBytes, ...checked } = checkReadFileOptions(options);
      const content = await this.#content.readAll(fd, maxBytes, checked);
      return encoding === undefined ? content : content.toString(encoding);
    });
    // A file system that does not answer keeps the read in the thread pool, and with it the descriptor.
    return typeof options === 'string'
      ? reading
      : untilAborted(reading, `reading ${this.url}`, options?.signal);
  }

  /**
   * A stream that reads from `start` on. In a file with positions, it neither uses nor moves the shared offset. A pipe, socket or terminal is
   * waited for without a thread, and its flags are not changed. A FIFO that no process has opened for writing yet is waited for, too. The
   * stream does not close this file. It fails when this file is closed, or the call ends in whose handler it was received.
   *
   * @throws GrpcFdError `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_INVALID_ARGUMENT`; with a pipe, socket or terminal also
   * `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_WOULD_BLOCK`, `ERR_GRPCFD_CALL_ENDED`
   */
  createReadStream(options: ReadStreamOptions = {}): Readable {
    this.#assertNotPathOnly();
    checkReadStreamOptions(options);
    const channel = this.#content.channel(this.fd, options);
    return channel === undefined
      ? readStream(this, this.#content.isPositioned, options)
      : channelReadStream(channel, options);
  }

  /**
   * A stream that writes from `start` on. In a file with positions, it neither uses nor moves the shared offset. A pipe, socket or terminal
   * is waited for: see {@link createReadStream}. The end of the stream ends the writing side of a socket, for the sender, too. The stream
   * does not close this file. It fails when this file is closed, or the call ends in whose handler it was received.
   *
   * @throws the errors of {@link createReadStream}
   */
  createWriteStream(options: WriteStreamOptions = {}): Writable {
    this.#assertNotPathOnly();
    checkWriteStreamOptions(options);
    const channel = this.#content.channel(this.fd, options);
    return channel === undefined
      ? writeStream(this, this.#content.isPositioned, options)
      : channelWriteStream(channel, options);
  }

  /**
   * Opens the same file again, with an offset and flags of its own. It makes a file readable that was sent as O_PATH, and independent of
   * its sender. The kernel checks the permissions of this process again. A socket cannot be opened: {@link connect} dials a socket file.
   *
   * A FIFO is opened without waiting for another end, and a terminal does not become that of this process. The new open file is blocking,
   * unless `flags` have O_NONBLOCK. The file system is asked on the thread of the event loop. One that hangs stops this process, so for a
   * peer that you do not trust, `await openFile('/proc/self/fd/' + file.fd, { flags })` instead, and keep this file open until then.
   *
   * @param flags as for `open`, from `fs.constants`: O_RDONLY, O_RDWR and so on
   * @returns a file that belongs to the caller, who closes it. This one stays open.
   * @throws GrpcFdError `ERR_GRPCFD_OPEN_FAILED`, `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`
   */
  reopen(flags: number): ReceivedFile {
    check(grpcComplaint, 'flags', flags, flagsOfOpen);
    const fd = openWithoutWaiting(`/proc/self/fd/${this.fd}`, flags);
    try {
      return new ReceivedFile(fd);
    } catch (error) {
      const cause = (error as GrpcFdError).cause as Error;
      const text = `${this.url} was opened again, but the kernel does not tell what it is: ${cause.message}`;
      throw new GrpcFdError('ERR_GRPCFD_OPEN_FAILED', text, { cause });
    }
  }

  /**
   * Opens a file in this directory, which may be open with O_PATH. Nothing outside of the directory is reached, neither by `..` nor by a
   * link nor by an absolute path nor by a rename meanwhile (RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS of openat2, Linux 5.6). The path is
   * looked up with the rights of this process, in a thread of its own: see {@link openFile}. It is given up when this file is closed.
   *
   * @param path from the directory on. `'.'` opens the directory anew.
   * @param flags of open(2): a number made of `fs.constants`, or one of Node's 'r', 'r+', 'w', 'w+', 'a', 'a+'. Default 'r'
   * @param mode permissions of a file that this makes, or options. Default 0o666
   * @returns a file that belongs to the caller, who closes it. This one stays open.
   * @throws GrpcFdError, in the promise: `ERR_GRPCFD_OPEN_FAILED` with the failed syscall as its cause (EXDEV: the path leads out of the
   * directory; ENOSYS: there is no openat2), `ERR_GRPCFD_UNEXPECTED_KIND` also where this is not a directory, `ERR_GRPCFD_ABORTED`,
   * `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`
   */
  async openIn(
    path: string,
    flags: number | string = 'r',
    mode: number | OpenInOptions = {},
  ): Promise<ReceivedFile> {
    const options = checkOpenIn(path, flags, mode);
    const fd = await openIn(this, path, flags, options, this.#whileOpen());
    return new ReceivedFile(fd, options.expect);
  }

  /**
   * The entries of this directory, without '.' and '..', in the order of the file system. The directory may be open with O_PATH. It is opened
   * anew, so the offset that is shared with the sender is neither used nor moved, and this process needs the right to open it. That is done in
   * a thread of its own: see {@link openFile}. It is given up when this file is closed.
   *
   * @throws GrpcFdError, in the promise: `ERR_GRPCFD_UNEXPECTED_KIND` where this is not a directory, `ERR_GRPCFD_OPEN_FAILED` (EACCES: this
   * process may not read it), `ERR_GRPCFD_FILE_TOO_LARGE`, `ERR_GRPCFD_ABORTED`, `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`;
   * the error of a failed `getdents64`
   */
  readdir(options: ReaddirOptions & { readonly withFileTypes: true }): Promise<DirectoryEntry[]>;
  /** The same, without kinds: the names alone. */
  readdir(options?: ReaddirOptions & { readonly withFileTypes?: false | undefined }): Promise<string[]>;
  async readdir(options: ReaddirOptions = {}): Promise<string[] | DirectoryEntry[]> {
    const entries = await readDirectory(this, options, this.#whileOpen());
    return options.withFileTypes === true ? entries : entries.map(({ name }) => name);
  }

  /**
   * Dials this socket file, which must be open with O_PATH, as `sendFilename()` and the Go package send it. It also works where the path
   * is not valid, or when the file has been removed. It does not block: while the backlog of the listener is full, it tries again. It is
   * given up when this file is closed.
   *
   * @returns a connected socket that belongs to the caller, who destroys it. Nothing has been read from it, and nothing is read before the
   * caller reads. So `channelCredentials(inner, { connect: () => file.connect() })` can take it, also later. A socket that nobody reads does
   * not notice the end of its peer, and does not keep the process alive.
   * @throws GrpcFdError, in the promise: `ERR_GRPCFD_CONNECT_FAILED` with the failed syscall as its cause (ECONNREFUSED: nobody listens;
   * EPROTOTYPE: it is not a stream socket; EACCES: this process may not write to the socket file), `ERR_GRPCFD_UNEXPECTED_KIND` where this
   * is not a socket file, `ERR_GRPCFD_TIMEOUT`, `ERR_GRPCFD_ABORTED`, `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`
   */
  async connect(options: DialOptions = {}): Promise<Socket> {
    return dial(this, options, this.#whileOpen());
  }

  /**
   * The type and the number of this namespace, which may be open with O_PATH, as `sendFilename('/proc/self/ns/net')` and the Go package
   * send it. The kernel tells both, and no peer can forge them.
   *
   * @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND` where this is not a namespace, `ERR_GRPCFD_FILE_CLOSED`; `ERR_GRPCFD_OPEN_FAILED` where
   * the kernel does not tell it: without /proc, or when the table of descriptors is full (EMFILE)
   */
  namespace(): Namespace {
    return namespaceOf(this);
  }

  /**
   * What the socket is: its family and type, where it is bound, whom it is connected with. Nothing is changed.
   *
   * @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND` where it is not a socket, `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_FILE_CLOSED`
   */
  socketInfo(): SocketInfo {
    return socketInfoOf(this);
  }

  /**
   * A `net.Socket` of a connected stream socket of unix or TCP. It takes the open file over: this file counts as closed then, as with
   * {@link release}, and streams and transfers of it end with `ERR_GRPCFD_FILE_CLOSED`. What they have read stays with them. The open file is
   * made non-blocking, for its sender, too. A sender that makes it blocking again can stop the event loop with that: take {@link toFdSocket} or a
   * stream for what comes from a peer that you do not trust. The `net.Socket` belongs to the caller, and does not end with the call. Its `destroy()` closes it in
   * this process. Its `end()` ends it for all who have it.
   *
   * @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND` where it is not such a socket (of another type, listening, not connected);
   * `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`; `ERR_GRPCFD_RECEIVE_FAILED` when the descriptor table is
   * full. Nothing has changed then, and this file is still open.
   */
  toSocket(options: ToSocketOptions = {}): Socket {
    return this.#takeOver(() => toSocket(this, options));
  }

  /**
   * An `FdSocket` of a connected unix stream socket, which carries descriptors with its bytes. It takes the open file over, as
   * {@link toSocket} does.
   *
   * @throws the errors of {@link toSocket}
   */
  toFdSocket(options: ToFdSocketOptions = {}): FdSocket {
    return this.#takeOver(() => toFdSocket(this, options));
  }

  /**
   * A server that accepts the connections of a listening socket of unix or TCP. It listens when this returns; its event 'listening' follows.
   * The socket is adopted in this process, also in a worker of node:cluster, where `listen({ fd })` would take a descriptor of the primary
   * process. It takes the open file over, as {@link toSocket} does. Other processes that have the socket accept connections, too. The server
   * belongs to the caller, who closes it. In a worker of node:cluster, `disconnect()` does not close it.
   *
   * @throws the errors of {@link toSocket}
   */
  toServer<Server extends NetServer = NetServer>(options: ToServerOptions<Server> = {}): Server {
    return this.#takeOver(() => toServer(this, options));
  }

  /**
   * A `dgram.Socket` of a bound UDP socket, which may be connected, too. It is bound when this returns, and there is no event 'listening'. It takes
   * the open file over, as {@link toSocket} does. Where other processes have the socket, each datagram goes to one of them.
   *
   * @throws the errors of {@link toSocket}
   */
  toDatagramSocket(): DatagramSocket {
    return this.#takeOver(() => toDatagramSocket(this));
  }

  /**
   * Maps all of a memfd into memory, without a copy. The sender must have sealed it with F_SEAL_SHRINK, as {@link createSharedMemory}
   * does: an access to memory behind the end of a shortened file would kill the process.
   *
   * The mapping belongs to the caller. It does not need this file, which can be closed. Look at {@link MappedMemory.immutable} before
   * you rely on bytes that you have checked.
   *
   * @throws GrpcFdError `ERR_GRPCFD_NOT_MAPPABLE`, `ERR_GRPCFD_FILE_TOO_LARGE`, `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_FILE_CLOSED`,
   * `ERR_GRPCFD_INVALID_ARGUMENT`; the error of a failed `mmap` (EACCES with `writable` where the file is not open for writing)
   */
  map(options: MapOptions = {}): MappedMemory {
    this.#assertNotPathOnly();
    return mapSealed(this.fd, this.url, options);
  }

  /**
   * An {@link EventFd} of an eventfd, which takes the descriptor over: this file counts as released. Its iterations end with the call in
   * whose handler this file was received; those of `duplicate().toEventFd()` do not. The flags of the open file stay as they are.
   *
   * @returns what belongs to the caller, who closes it
   * @throws GrpcFdError `ERR_GRPCFD_UNEXPECTED_KIND` where it is not an eventfd, and stays the caller's; `ERR_GRPCFD_PATH_ONLY`,
   * `ERR_GRPCFD_FILE_CLOSED`
   */
  toEventFd(): EventFd {
    this.#assertNotPathOnly();
    return adoptEventFd(this, this.#content.call);
  }

  /**
   * Gives the descriptor away. The caller owns the number that is returned, and this file counts as closed. While operations are in
   * flight, the number is that of a duplicate, so that the caller can close it at any time.
   *
   * @throws GrpcFdError `ERR_GRPCFD_FILE_CLOSED`; EMFILE where the duplicate cannot be made. Nothing changes then.
   */
  release(): number {
    const fd = this.fd;
    if (this.#inFlight === 0) {
      this.#detach();
      native.unguard(fd);
      return fd;
    }
    const duplicate = native.duplicate(fd);
    native.unguard(duplicate);
    this[Symbol.dispose]();
    return duplicate;
  }

  /**
   * Closes the descriptor when the operations in flight have ended. (Earlier, its number could become that of another file, which they
   * would use.) New operations fail at once. Idempotent: every call returns the same promise, which resolves when the descriptor is closed.
   *
   * A close may take any time: with a file whose server does not answer, a socket with a linger time, memory of gigabytes. It never stops the
   * event loop, but may take a thread. A program that has nothing else to do waits for it for a second at most. An error that a file system
   * reports only when a file is closed is lost: call `fsync` for data that must be on disk.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closeWhenIdle();
    return this.#closing;
  }

  /**
   * {@link close} without its promise, for `using`. Where no operation is in flight, the descriptor is closed when this returns, or soon if
   * its close may take any time.
   */
  [Symbol.dispose](): void {
    this.close().catch(() => {});
  }

  /** {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #closeWhenIdle(): Promise<void> {
    const fd = this.#detach();
    if (fd === undefined) return;
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    const pending = closed(fd);
    if (pending !== undefined) await pending;
  }

  #detach(): number | undefined {
    const fd = this.#fd;
    this.#fd = undefined;
    closedByOwner(this);
    const reason = this.#closedError();
    this.#content.end(reason);
    this.#ending?.end(reason);
    return fd;
  }

  #whileOpen(): Ending {
    this.#ending ??= new Ending();
    return this.#ending;
  }

  /** What `make` makes has a descriptor of its own. When it throws, nothing has changed. */
  #takeOver<Made>(make: () => Made): Made {
    const made = make();
    this[Symbol.dispose]();
    return made;
  }

  async #operate<Result>(operation: (fd: number) => Promise<Result>): Promise<Result> {
    const { fd } = this;
    this.#inFlight++;
    try {
      return await operation(fd);
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0) this.#onIdle?.();
    }
  }

  async #transfer<Result>(operation: (fd: number) => Promise<Result>): Promise<Result> {
    this.#assertNotPathOnly();
    return this.#operate(operation);
  }

  #assertNotPathOnly(): void {
    if (!this.pathOnly) return;
    throw new GrpcFdError(
      'ERR_GRPCFD_PATH_ONLY',
      `${this.url} was opened with O_PATH, which gives no access to its content: use reopen(flags), or open /proc/self/fd/${this.fd}`,
    );
  }

  #closedError(): GrpcFdError {
    return new GrpcFdError('ERR_GRPCFD_FILE_CLOSED', `${this.url} was closed or released`);
  }
}

/** What `fd` is, where that is as expected. Closes `fd` when it throws. */
function lookOrClose(fd: number, expect: Expectation | undefined, known: FileLook | undefined): FileLook {
  try {
    const look = known ?? lookAt(fd);
    assertExpected(look.url, look, expect);
    return look;
  } catch (error) {
    native.closeAll([fd]);
    throw error;
  }
}
