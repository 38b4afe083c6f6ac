import { type BigIntStats, constants, fstat, read, write } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { aLimit, anInteger, check, checkGrpcOptions, grpcComplaint, type RulesFor, rule } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { native, O_PATH } from '../native/binding.js';
import type { Description, FileKind } from '../native/description.js';
import { closedByOwner, closeWhenCollected } from './close-when-collected.js';
import { accessOf, assertExpected, type Expectation, type FileAccess } from './file-kind.js';
import { type ReadStreamOptions, readStream, type WriteStreamOptions, writeStream } from './file-streams.js';
import { inodeToUrl } from './inode-url.js';
import { type MapOptions, type MappedMemory, mapSealed } from './mapped-memory.js';
import { openFile } from './open-file.js';

const fstatAsync = promisify(fstat);
const readAsync = promisify(read);
const writeAsync = promisify(write);

/** Options of {@link ReceivedFile.readFile}. */
export interface ReadFileOptions {
  /** The encoding of the string that is wanted. Default: the result is a Buffer. */
  readonly encoding?: BufferEncoding | undefined;
  /**
   * The longest file to read, in bytes. A longer one fails with `ERR_GRPCFD_FILE_TOO_LARGE`: the peer decides how long a file gets.
   * Default 2^31-1, as in `node:fs`. `Infinity` switches the limit off.
   */
  readonly maxBytes?: number | undefined;
}

/** The result of {@link ReceivedFile.read}. */
export interface FileRead<Target> {
  /** How many bytes were read. 0 at the end of the file. */
  readonly bytesRead: number;
  /** The buffer that was given. */
  readonly buffer: Target;
}

/** The result of {@link ReceivedFile.write}. */
export interface FileWritten<Source> {
  /** How many bytes were written. */
  readonly bytesWritten: number;
  /** The buffer that was given. */
  readonly buffer: Source;
}

const READ_FILE_RULES: RulesFor<ReadFileOptions> = {
  encoding: rule(
    'an encoding of Buffer',
    (value) => typeof value === 'string',
    (value) => Buffer.isEncoding(String(value)),
  ),
  maxBytes: rule(
    'an integer of at least 0 or Infinity',
    aLimit.hasType,
    (value) => value === 0 || aLimit.isInRange(value),
  ),
};

const anOffset = anInteger(0);

/** Other values mean the shared offset to `node:fs`, some of them in silence. */
const aPosition = rule(
  'null or an integer of at least 0',
  (value) => value === null || typeof value === 'number',
  (value) => value === null || anOffset.isInRange(value),
);

const aBuffer = rule('a Buffer, TypedArray or DataView', ArrayBuffer.isView);

const flagsOfOpen = anInteger(0, 2 ** 31 - 1);

const READ_FILE_MAX_BYTES = 2 ** 31 - 1;
const READ_FILE_CHUNK = 256 * 1024;

/** The kinds whose bytes have positions, so that `pread` and `pwrite` work. */
const POSITIONED: ReadonlySet<FileKind> = new Set(['file', 'memfd', 'dmabuf']);

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

  readonly #isPositioned: boolean;
  #fd: number | undefined;
  #inFlight = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Takes ownership of `fd`, the number of an open descriptor. When this throws, `fd` is closed.
   *
   * @param expect what the file must be. Default: anything
   * @throws GrpcFdError `ERR_GRPCFD_RECEIVE_FAILED` when the kernel does not tell what `fd` is. Its cause is the failed syscall.
   * `ERR_GRPCFD_UNEXPECTED_KIND` when it is not as expected
   */
  constructor(fd: number, expect?: Expectation) {
    const description = describe(fd);
    this.url = inodeToUrl(description.inode);
    this.kind = description.kind;
    this.access = accessOf(description);
    this.append = (description.flags & constants.O_APPEND) !== 0;
    this.pathOnly = (description.flags & O_PATH) !== 0;
    this.#isPositioned = POSITIONED.has(this.kind) || description.isBlockDevice;
    try {
      assertExpected(this.url, this, expect);
    } catch (error) {
      native.closeAll([fd]);
      throw error;
    }
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

  /** What `fstat` tells about the file, in bigints. */
  stat(): Promise<BigIntStats> {
    return this.#operate((fd) => fstatAsync(fd, { bigint: true }));
  }

  /**
   * Reads up to `length` bytes. On a pipe or socket that blocks, it occupies a thread of the pool until data comes.
   *
   * @param buffer where the bytes are put
   * @param offset index in `buffer` of the first byte. Default 0
   * @param length in bytes. Default: what fits into `buffer` behind `offset`
   * @param position of the first byte in the file. Default null: it reads at the offset that is shared with the sender, and moves it
   * @throws GrpcFdError `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`; the error of a failed syscall
   */
  read<Target extends NodeJS.ArrayBufferView>(
    buffer: Target,
    offset = 0,
    length?: number,
    position: number | null = null,
  ): Promise<FileRead<Target>> {
    return this.#transfer(async (fd) => {
      check(grpcComplaint, 'buffer', buffer, aBuffer);
      check(grpcComplaint, 'position', position, aPosition);
      const wanted = length ?? buffer.byteLength - offset;
      const { bytesRead } = await readAsync(fd, buffer, offset, wanted, position);
      return { bytesRead, buffer };
    });
  }

  /**
   * Writes up to `length` bytes. It may write fewer than it was given, as the syscall may.
   *
   * @param buffer holds the bytes
   * @param offset index in `buffer` of the first byte. Default 0
   * @param length in bytes. Default: all of `buffer` behind `offset`
   * @param position of the first byte in the file. Default null: it writes at the offset that is shared with the sender, and moves it
   * @throws GrpcFdError `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`; the error of a failed syscall
   */
  write<Source extends NodeJS.ArrayBufferView>(
    buffer: Source,
    offset = 0,
    length?: number,
    position: number | null = null,
  ): Promise<FileWritten<Source>> {
    return this.#transfer(async (fd) => {
      check(grpcComplaint, 'buffer', buffer, aBuffer);
      check(grpcComplaint, 'position', position, aPosition);
      const given = length ?? buffer.byteLength - offset;
      const { bytesWritten } = await writeAsync(fd, buffer, offset, given, position);
      return { bytesWritten, buffer };
    });
  }

  /**
   * Reads the whole file from its first byte. The shared offset is neither used nor moved.
   *
   * @throws GrpcFdError `ERR_GRPCFD_FILE_TOO_LARGE`, `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`;
   * the error of a failed syscall (ESPIPE for a pipe or socket, which has no positions)
   */
  readFile(
    options: BufferEncoding | (ReadFileOptions & { readonly encoding: BufferEncoding }),
  ): Promise<string>;
  /** The same, without an encoding: the result is a Buffer. */
  readFile(options?: ReadFileOptions & { readonly encoding?: undefined }): Promise<Buffer>;
  readFile(options: BufferEncoding | ReadFileOptions = {}): Promise<string | Buffer> {
    return this.#transfer(async (fd) => {
      const checked: ReadFileOptions = typeof options === 'string' ? { encoding: options } : options;
      checkGrpcOptions(checked, READ_FILE_RULES);
      const { encoding, maxBytes = READ_FILE_MAX_BYTES } = checked;
      const chunks: Buffer[] = [];
      let position = 0;
      for (;;) {
        const chunk = Buffer.allocUnsafeSlow(READ_FILE_CHUNK);
        const { bytesRead } = await readAsync(fd, chunk, 0, chunk.length, position);
        if (bytesRead === 0) break;
        position += bytesRead;
        if (position > maxBytes) throw this.#tooLarge(maxBytes);
        chunks.push(chunk.subarray(0, bytesRead));
      }
      const content = Buffer.concat(chunks, position);
      return encoding === undefined ? content : content.toString(encoding);
    });
  }

  /**
   * A stream that reads from `start` on. In a file with positions, it neither uses nor moves the shared offset. It reads a pipe, socket or
   * terminal in the thread pool, and fails with EAGAIN where the sender has made that non-blocking and it has no data yet. The stream
   * does not close this file. It fails when this file is closed.
   *
   * @throws GrpcFdError `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_INVALID_ARGUMENT`
   */
  createReadStream(options: ReadStreamOptions = {}): Readable {
    this.#assertNotPathOnly();
    return readStream(this, this.#isPositioned, options);
  }

  /**
   * A stream that writes from `start` on. In a file with positions, it neither uses nor moves the shared offset. The stream does not
   * close this file. It fails when this file is closed.
   *
   * @throws GrpcFdError `ERR_GRPCFD_PATH_ONLY`, `ERR_GRPCFD_INVALID_ARGUMENT`
   */
  createWriteStream(options: WriteStreamOptions = {}): Writable {
    this.#assertNotPathOnly();
    return writeStream(this, this.#isPositioned, options);
  }

  /**
   * Opens the same file again, with an offset and flags of its own. It makes a file readable that was sent as O_PATH, and independent of
   * its sender. The kernel checks the permissions of this process again. A socket cannot be opened. O_NONBLOCK is added, because a pipe, a
   * device or a file with a lease could make the process wait for as long as its owner likes.
   *
   * @param flags as for `open`, from `fs.constants`: O_RDONLY, O_RDWR and so on
   * @returns a file that belongs to the caller, who closes it. This one stays open.
   * @throws GrpcFdError `ERR_GRPCFD_OPEN_FAILED`, `ERR_GRPCFD_FILE_CLOSED`, `ERR_GRPCFD_INVALID_ARGUMENT`
   */
  reopen(flags: number): ReceivedFile {
    check(grpcComplaint, 'flags', flags, flagsOfOpen);
    const fd = openFile(`/proc/self/fd/${this.fd}`, flags | constants.O_NONBLOCK);
    try {
      return new ReceivedFile(fd);
    } catch (error) {
      const cause = (error as GrpcFdError).cause as Error;
      const text = `${this.url} was opened again, but the kernel does not tell what it is: ${cause.message}`;
      throw new GrpcFdError('ERR_GRPCFD_OPEN_FAILED', text, { cause });
    }
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
    this[Symbol.dispose]();
    return duplicate;
  }

  /**
   * Closes the descriptor when the operations in flight have ended. (Earlier, its number could become that of another file, which they
   * would use.) New operations fail at once. Idempotent: every call returns the same promise. An error that a file system reports only
   * when a file is closed is lost: call `fsync` for data that must be on disk.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closeWhenIdle();
    return this.#closing;
  }

  /** {@link close} without its promise, for `using`. Where no operation is in flight, the descriptor is closed when this returns. */
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
    throw new GrpcFdError(
      'ERR_GRPCFD_PATH_ONLY',
      `${this.url} was opened with O_PATH, which gives no access to its content: use reopen(flags), or open /proc/self/fd/${this.fd}`,
    );
  }

  #tooLarge(maxBytes: number): GrpcFdError {
    return new GrpcFdError('ERR_GRPCFD_FILE_TOO_LARGE', `${this.url} has more than ${maxBytes} bytes`);
  }
}

/** Closes `fd` when it throws. */
function describe(fd: number): Description {
  try {
    return native.describe(fd);
  } catch (cause) {
    native.closeAll([fd]);
    const text = `the kernel does not tell what the received descriptor is: ${(cause as Error).message}`;
    throw new GrpcFdError('ERR_GRPCFD_RECEIVE_FAILED', text, { cause });
  }
}
