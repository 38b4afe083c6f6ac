import { constants as limits } from 'node:buffer';
import { fstatSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { aBoolean, checkGrpcOptions, type RulesFor } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { F_SEAL_SHRINK, F_SEAL_WRITE, TMPFS_MAGIC } from '../native/types.js';

export interface MapOptions {
  /** Stores reach the file, and everybody who has it. Default false: they stay in this mapping. */
  readonly writable?: boolean | undefined;
}

const RULES: RulesFor<MapOptions> = { writable: aBoolean };

/** More threads of the pool (it has 4 by default) than this are not taken from what else waits for them. */
const MAX_POPULATING_THREADS = 2;

/**
 * The memory of a file, in place. It is given back at {@link close}, at the end of a `using` block, or when neither this object nor
 * a view of its bytes is reachable any more.
 */
export class MappedMemory implements Disposable {
  /** Empty, as is every view of its buffer, once it is closed. */
  readonly bytes: Uint8Array;
  /** Whether stores reach the file. */
  readonly writable: boolean;
  /**
   * Nobody can change the file any more, its sender neither (F_SEAL_WRITE). Without that the peer may do so while the bytes are read:
   * copy first what is checked first and used later.
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
   * Has all pages entered into this process's page table now, by threads of the pool, and resolves when they are. Worth it where all
   * of a large file is going to be read: the first touch of a page costs a fault otherwise. The bytes can be read meanwhile. Only
   * advice to the kernel: it never rejects, and does nothing before Linux 5.14, or once this is closed.
   */
  async populate(): Promise<void> {
    if (this.bytes.length === 0) return;
    const threads = Math.min(availableParallelism(), MAX_POPULATING_THREADS);
    await Promise.all(Array.from({ length: threads }, () => native.populate(this.#buffer)));
  }

  /**
   * Gives the memory back at once. Idempotent. An operation that is still reading or writing `bytes` in another thread does no harm: it
   * finds zeros, and its stores are dropped.
   */
  close(): void {
    if (this.bytes.length > 0) native.unmap(this.#buffer);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Maps all of `fd`, which is only borrowed, if it can be touched without danger whatever others do to it.
 *
 * @param name of the file, for error texts
 * @throws as {@link ReceivedFile.map}
 */
export function mapSealed(fd: number, name: string, options: MapOptions): MappedMemory {
  checkGrpcOptions(options, RULES);
  const { writable = false } = options;
  const seals = sealsOf(fd, name);
  if ((seals & F_SEAL_SHRINK) === 0) {
    throw notMappable(name, 'it has no F_SEAL_SHRINK, so its sender could cut it short');
  }
  if (writable && (seals & F_SEAL_WRITE) !== 0) {
    throw notMappable(name, 'it is sealed against writing: map it without `writable`');
  }
  // The seals of a hugetlbfs file do not help: a huge page that is not there when it is touched kills the process, too.
  if (native.fileSystemType(fd) !== TMPFS_MAGIC) throw notMappable(name, 'it is made of huge pages');
  // Under the seal: from here on it can only grow.
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
    throw notMappable(name, 'it is no memfd', cause);
  }
}

function notMappable(name: string, fault: string, cause?: unknown): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_NOT_MAPPABLE', `${name} cannot be mapped: ${fault}`, { cause });
}
