import { constants as limits } from 'node:buffer';
import { fstatSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { aBoolean, checkGrpcOptions, type RulesFor } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { F_SEAL_SHRINK, F_SEAL_WRITE, TMPFS_MAGIC } from '../native/file-types.js';

/** Options of {@link ReceivedFile.map}. */
export interface MapOptions {
  /**
   * Whether stores into the memory reach the file, and with it every process that has the file. Default false: stores stay in this
   * mapping.
   */
  readonly writable?: boolean | undefined;
}

const RULES: RulesFor<MapOptions> = { writable: aBoolean };

/** Threads of the pool, which has 4 by default, that are used at most. The others stay free for other work. */
const MAX_POPULATING_THREADS = 2;

/**
 * The memory of a file, in place. Made by {@link ReceivedFile.map}. The memory is given back at {@link close}, at the end of a `using`
 * block, or when neither this object nor a view of its bytes is reachable any more. The mapping needs no open descriptor.
 */
export class MappedMemory implements Disposable {
  /** All bytes of the file. After {@link close}, this and every other view of its buffer is empty. */
  readonly bytes: Uint8Array;
  /** Whether stores reach the file: see {@link MapOptions.writable}. */
  readonly writable: boolean;
  /**
   * Whether the file can never change again (F_SEAL_WRITE). If it can, the peer may change bytes between a check and their use: copy
   * such bytes before you check them.
   */
  readonly immutable: boolean;

  readonly #buffer: ArrayBuffer;

  /** @internal */
  constructor(buffer: ArrayBuffer, writable: boolean, immutable: boolean) {
    this.#buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.writable = writable;
    this.immutable = immutable;
  }

  /**
   * Enters all pages into the page table of this process, in threads of the pool, and resolves when that is done. It saves time where
   * all of a large file is going to be read, because the first access to each page costs a page fault otherwise. The bytes can be read
   * meanwhile. It is only advice to the kernel: the promise never rejects, and nothing happens before Linux 5.14 or after
   * {@link close}.
   */
  async populate(): Promise<void> {
    if (this.bytes.length === 0) return;
    const threads = Math.min(availableParallelism(), MAX_POPULATING_THREADS);
    await Promise.all(Array.from({ length: threads }, () => native.populate(this.#buffer)));
  }

  /**
   * Gives the memory back: at once, or soon if there is much of it. {@link bytes} is empty when this returns. Idempotent. An
   * operation that still reads or writes {@link bytes} in another thread does no harm: soon it reads zeros, and its stores are lost.
   */
  close(): void {
    if (this.bytes.length > 0) native.unmap(this.#buffer);
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Maps all of `fd`, which is only borrowed, if no other process can make an access to its memory fail.
 *
 * @param name of the file, for error texts
 * @throws the errors of {@link ReceivedFile.map}
 */
export function mapSealed(fd: number, name: string, options: MapOptions): MappedMemory {
  checkGrpcOptions(options, RULES);
  const { writable = false } = options;
  const seals = sealsOf(fd, name);
  if ((seals & F_SEAL_SHRINK) === 0) {
    throw notMappable(name, 'it has no F_SEAL_SHRINK, so its sender could shorten it');
  }
  if (writable && (seals & F_SEAL_WRITE) !== 0) {
    throw notMappable(name, 'it is sealed against writing: map it without `writable`');
  }
  // The seals of a hugetlbfs file do not help: an access to a huge page that is missing kills the process, too.
  if (native.fileSystemType(fd) !== TMPFS_MAGIC) throw notMappable(name, 'it is made of huge pages');
  // The file is sealed against shrinking, so from here on it can only grow.
  const { size } = fstatSync(fd);
  if (size > limits.MAX_LENGTH) {
    throw new GrpcFdError(
      'ERR_GRPCFD_FILE_TOO_LARGE',
      `${name} has ${size} bytes; a buffer of this Node.js has at most ${limits.MAX_LENGTH}`,
    );
  }
  const buffer = size === 0 ? new ArrayBuffer(0) : native.map(fd, size, writable);
  return new MappedMemory(buffer, writable, (seals & F_SEAL_WRITE) !== 0);
}

function sealsOf(fd: number, name: string): number {
  try {
    return native.getSeals(fd);
  } catch (cause) {
    throw notMappable(name, 'it is not a memfd', cause);
  }
}

function notMappable(name: string, fault: string, cause?: unknown): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_NOT_MAPPABLE', `${name} cannot be mapped: ${fault}`, { cause });
}
