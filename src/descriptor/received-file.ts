import { type BigIntStats, constants, fstat, fstatSync, read, write } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { closedByOwner, closeWhenCollected } from './close-when-collected.js';
import { type FileKind, fileKind, isPositioned } from './file-kind.js';
import { type ReadStreamOptions, readStream, type WriteStreamOptions, writeStream } from './file-streams.js';
import { devInoToUrl } from './inode-url.js';
import { type MapOptions, type MappedMemory, mapSealed } from './mapped-memory.js';
import { openFile } from './open-file.js';

const fstatAsync = promisify(fstat);
const readAsync = promisify(read);
const writeAsync = promisify(write);

export interface ReadFileOptions {
  /** With it, the result is a string. */
  readonly encoding?: BufferEncoding | undefined;
  /**
   * A longer file fails with `ERR_GRPCFD_FILE_TOO_LARGE`: how long it gets is up to the peer. Default 2^31-1,
   * as in `node:fs`.
   */
  readonly maxBytes?: number | undefined;
}

const READ_FILE_MAX_BYTES = 2 ** 31 - 1;
const READ_FILE_CHUNK = 256 * 1024;

/**
 * Owns one received descriptor, and closes it once: at {@link close}, at the end of a `using` or `await
 * using` block, or when it is collected, which gives a process warning with the code `GRPCFD_UNCLOSED`.
 *
 * The open file is shared with the sender, its offset and its flags too. Give positions where other bytes
 * than those at the shared offset are meant. Failed syscalls reject with Node's own errors (`code` 'EIO');
 * everything on a file that was closed or released fails with `ERR_GRPCFD_FILE_CLOSED`.
 */
export class ReceivedFile implements Disposable, AsyncDisposable {
  /** `inode://<dev>/<ino>` */
  readonly url: string;
  readonly kind: FileKind;
  /** It was opened with O_PATH: it can be sent on, looked at and reopened, but not read. */
  readonly pathOnly: boolean;

  #fd: number | undefined;
  #inFlight = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Takes ownership of `fd`. When this throws, `fd` is closed.
   *
   * @throws GrpcFdError `ERR_GRPCFD_RECEIVE_FAILED` when the kernel does not tell what `fd` is; the failed syscall is its cause
   */
  constructor(fd: number) {
    try {
      const stats = fstatSync(fd, { bigint: true });
      this.url = devInoToUrl(stats);
      this.kind = fileKind(stats);
      this.pathOnly = (native.statusFlags(fd) & native.O_PATH) !== 0;
    } catch (cause) {
      native.closeAll([fd]);
      const text = `the descriptor that came cannot be looked at: ${(cause as Error).message}`;
      throw new GrpcFdError('ERR_GRPCFD_RECEIVE_FAILED', text, { cause });
    }
    this.#fd = fd;
    native.guard(fd);
    closeWhenCollected(this, fd, `A ReceivedFile (fd ${fd}, ${this.url})`);
  }

  /**
   * The number. It stays this object's: send it, look at it, but do not close it. Throws on a closed file.
   */
  get fd(): number {
    if (this.#fd !== undefined) return this.#fd;
    throw new GrpcFdError('ERR_GRPCFD_FILE_CLOSED', `${this.url} was closed or released`);
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

  stat(): Promise<BigIntStats> {
    return this.#operate((fd) => fstatAsync(fd, { bigint: true }));
  }

  /**
   * Reads up to `length` bytes into `buffer` at `offset`. Without `position` it reads at the offset shared
   * with the sender, and moves it. On a pipe or socket that blocks, it occupies a thread of the pool until
   * something comes.
   */
  read<Target extends NodeJS.ArrayBufferView>(
    buffer: Target,
    offset = 0,
    length = buffer.byteLength - offset,
    position: number | null = null,
  ): Promise<{ bytesRead: number; buffer: Target }> {
    return this.#transfer(async (fd) => {
      const { bytesRead } = await readAsync(fd, buffer, offset, length, position);
      return { bytesRead, buffer };
    });
  }

  /**
   * Writes up to `length` bytes of `buffer` from `offset`. Without `position` it writes at the offset shared
   * with the sender, and moves it. May write less than it was given, as the syscall may.
   */
  write<Source extends NodeJS.ArrayBufferView>(
    buffer: Source,
    offset = 0,
    length = buffer.byteLength - offset,
    position: number | null = null,
  ): Promise<{ bytesWritten: number; buffer: Source }> {
    return this.#transfer(async (fd) => {
      const { bytesWritten } = await writeAsync(fd, buffer, offset, length, position);
      return { bytesWritten, buffer };
    });
  }

  /** Reads all of it, from its first byte, whatever the shared offset is, which stays where it is. */
  readFile(
    options: BufferEncoding | (ReadFileOptions & { readonly encoding: BufferEncoding }),
  ): Promise<string>;
  readFile(options?: ReadFileOptions & { readonly encoding?: undefined }): Promise<Buffer>;
  readFile(options: BufferEncoding | ReadFileOptions = {}): Promise<string | Buffer> {
    const { encoding, maxBytes = READ_FILE_MAX_BYTES } =
      typeof options === 'string' ? { encoding: options } : options;
    return this.#transfer(async (fd) => {
      const chunks: Buffer[] = [];
      let position = 0;
      for (;;) {
        const chunk = Buffer.allocUnsafeSlow(READ_FILE_CHUNK);
        const { bytesRead } = await readAsync(fd, chunk, 0, chunk.length, position);
        if (bytesRead === 0) break;
        position += bytesRead;
        if (!(position <= maxBytes)) throw this.#tooLarge(maxBytes);
        chunks.push(chunk.subarray(0, bytesRead));
      }
      const content = Buffer.concat(chunks, position);
      return encoding === undefined ? content : content.toString(encoding);
    });
  }

  /**
   * Reads from `start` on without using the shared offset, where there are positions. A pipe, socket or
   * terminal is read as it comes, in the thread pool; one that its sender made non-blocking fails with EAGAIN
   * when nothing is there. The stream does not close this file; once this file is closed, the stream fails.
   */
  createReadStream(options: ReadStreamOptions = {}): Readable {
    this.#assertNotPathOnly();
    return readStream(this, isPositioned(this.kind), options);
  }

  /**
   * Writes from `start` on without using the shared offset, where there are positions. Closes nothing, like
   * {@link createReadStream}.
   */
  createWriteStream(options: WriteStreamOptions = {}): Writable {
    this.#assertNotPathOnly();
    return writeStream(this, isPositioned(this.kind), options);
  }

  /**
   * Opens the same inode anew, with an offset and flags of its own: the way to read what was sent as O_PATH,
   * and to be independent of the sender. The kernel checks this process's permissions again; a socket cannot
   * be opened. O_NONBLOCK is added, because a pipe, a device, or a file with a lease could make the process
   * wait for as long as its owner likes.
   *
   * @param flags as for `open`, from `fs.constants`: O_RDONLY, O_RDWR, ...
   * @returns a file that the caller is to close; this one stays open.
   * @throws GrpcFdError `ERR_GRPCFD_OPEN_FAILED`, `ERR_GRPCFD_FILE_CLOSED`
   */
  reopen(flags: number): ReceivedFile {
    const fd = openFile(`/proc/self/fd/${this.fd}`, flags | constants.O_NONBLOCK);
    try {
      return new ReceivedFile(fd);
    } catch (error) {
      const cause = (error as GrpcFdError).cause as Error;
      const text = `${this.url} was opened anew, and cannot be looked at: ${cause.message}`;
      throw new GrpcFdError('ERR_GRPCFD_OPEN_FAILED', text, { cause });
    }
  }

  /**
   * All of a memfd, in place, without a copy. Only of one that can never get shorter: touching what a peer has cut off would
   * kill the process. The sender is to seal it with F_SEAL_SHRINK, as {@link createSharedMemory} does.
   *
   * The mapping is the caller's, and independent of this file, which can be closed. Look at {@link MappedMemory.immutable} before you
   * trust bytes to stay what they are.
   *
   * @throws GrpcFdError `ERR_GRPCFD_NOT_MAPPABLE`, `ERR_GRPCFD_FILE_TOO_LARGE`, `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_FILE_CLOSED`; where
   * `mmap` fails, its own error. To be `writable` the file must be open for writing (EACCES), and not sealed against it.
   */
  map(options: MapOptions = {}): MappedMemory {
    this.#assertNotPathOnly();
    return mapSealed(this.fd, this.url, options);
  }

  /**
   * Gives the descriptor away: the caller owns the number that is returned, and this file counts as closed.
   * While operations are in flight, the number is that of a duplicate, so that it can be closed at once; that
   * can fail with EMFILE, and changes nothing then.
   */
  release(): number {
    const fd = this.fd;
    if (this.#inFlight === 0) {
      this.#detach();
      native.unguard(fd);
      return fd;
    }
    const duplicate = native.duplicate(fd);
    this[Symbol.dispose]();
    return duplicate;
  }

  /**
   * Closes the descriptor once the operations in flight have ended, so that none of them finds its number at
   * another file. New ones fail at once. Idempotent: every call returns the same promise. What a file system
   * finds wrong only at its close is not reported: `fsync` what must be on disk.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closeWhenIdle();
    return this.#closing;
  }

  /**
   * {@link close} without its result. Where nothing is in flight, the descriptor is closed when this returns.
   */
  [Symbol.dispose](): void {
    this.close().catch(() => {});
  }

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
    native.close(fd);
  }

  #detach(): number | undefined {
    const fd = this.#fd;
    this.#fd = undefined;
    closedByOwner(this);
    return fd;
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
    const wayOut = `reopen(flags) opens it through /proc/self/fd/${this.fd}`;
    throw new GrpcFdError(
      'ERR_GRPCFD_PATH_ONLY',
      `${this.url} was sent as O_PATH, without content; ${wayOut}`,
    );
  }

  #tooLarge(maxBytes: number): GrpcFdError {
    return new GrpcFdError('ERR_GRPCFD_FILE_TOO_LARGE', `${this.url} has more than ${maxBytes} bytes`);
  }
}
