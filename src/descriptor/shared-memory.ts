import {
  anInteger,
  aString,
  check,
  checkGrpcOptions,
  grpcComplaint,
  type RulesFor,
  rule,
} from '../checks.js';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import {
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  MFD_ALLOW_SEALING,
  MFD_NOEXEC_SEAL,
} from '../native/file-types.js';
import { closedByOwner, closeWhenCollected } from './close-when-collected.js';
import { type MappedMemory, mapSealed } from './mapped-memory.js';

/** Options of {@link createSharedMemory}. */
export interface SharedMemoryOptions {
  /**
   * A name that `/proc/PID/fd` and `/proc/PID/maps` show. It has no other use. At most 249 bytes, without NUL characters. Default
   * `grpcfd`.
   */
  readonly name?: string | undefined;
}

const MAX_NAME_BYTES = 249;

const RULES: RulesFor<SharedMemoryOptions> = {
  name: rule(
    `a string of at most ${MAX_NAME_BYTES} bytes without NUL characters`,
    (value) => aString.hasType(value),
    (value) => !String(value).includes('\0') && Buffer.byteLength(String(value)) <= MAX_NAME_BYTES,
  ),
};

const aSize = anInteger(0);

/**
 * Makes memory that can be sent to other processes: a memfd of `size` bytes, all 0, whose size can never change. The result belongs to
 * the caller, who closes it.
 *
 * @param size in bytes
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`; the error of the failed syscall where the kernel refuses (EMFILE). Nothing is open
 * then.
 */
export function createSharedMemory(size: number, options: SharedMemoryOptions = {}): SharedMemory {
  check(grpcComplaint, 'size', size, aSize);
  checkGrpcOptions(options, RULES);
  const { name = 'grpcfd' } = options;
  const fd = createMemFd(name, size);
  try {
    native.addSeals(fd, F_SEAL_SHRINK | F_SEAL_GROW);
  } catch (error) {
    native.close(fd);
    throw error;
  }
  return new SharedMemory(fd, size, name);
}

/**
 * Owns a memfd, and closes it once: at {@link close}, at the end of a `using` block, or when this object is collected, which gives a
 * process warning with the code `GRPCFD_UNCLOSED`. It can be sent like any file: `fds.sendFile(memory)`. A receiver can keep the memory
 * for as long as it likes, and can write to it unless it is sealed.
 */
export class SharedMemory implements Disposable {
  /** In bytes. It never changes. */
  readonly size: number;
  /** See {@link SharedMemoryOptions.name}. */
  readonly name: string;
  #fd: number | undefined;
  #mapped: MappedMemory | undefined;

  /** @internal Takes ownership of `fd`, which is guarded. */
  constructor(fd: number, size: number, name: string) {
    this.#fd = fd;
    this.size = size;
    this.name = name;
    closeWhenCollected(this, fd, `A SharedMemory (fd ${fd}, ${quotePeerText(name)})`);
  }

  /**
   * The number of the descriptor. It belongs to this object: it can be sent and looked at, but must not be closed by others.
   *
   * @throws GrpcFdError `ERR_GRPCFD_FILE_CLOSED` after {@link close}
   */
  get fd(): number {
    if (this.#fd !== undefined) return this.#fd;
    throw new GrpcFdError(
      'ERR_GRPCFD_FILE_CLOSED',
      `the shared memory ${quotePeerText(this.name)} was closed`,
    );
  }

  /** Whether {@link close} was called. */
  get closed(): boolean {
    return this.#fd === undefined;
  }

  /** Whether the content is final: see {@link seal}. */
  get sealed(): boolean {
    return (native.getSeals(this.fd) & F_SEAL_WRITE) !== 0;
  }

  /**
   * The memory itself. It is mapped at the first use of this property. Stores reach every process that has the memory, until it is
   * sealed. Later stores stay in this mapping. Views that were taken before {@link seal} or {@link close} are empty afterwards.
   */
  get bytes(): Uint8Array {
    this.#mapped ??= mapSealed(this.fd, quotePeerText(this.name), { writable: !this.sealed });
    return this.#mapped.bytes;
  }

  /**
   * Makes the content final, for this process and every other one. A receiver that checks it can then rely on the result. Idempotent.
   *
   * Wait for operations of this process that fill {@link bytes} in another thread (a `read`) before you call this: what they store while
   * it runs is lost.
   *
   * @throws EBUSY while somebody else has mapped the memory to write to it. Nothing changes then, views of {@link bytes} included, and
   * the memory can be sealed later.
   */
  seal(): void {
    const { fd } = this;
    if (this.sealed) return;
    const seals = F_SEAL_WRITE | F_SEAL_SEAL;
    if (this.#mapped === undefined || this.size === 0) native.addSeals(fd, seals);
    else this.#sealMapped(this.#mapped, fd, seals);
    this.#unmap();
  }

  /** Closes the descriptor and gives back the mapping. Receivers keep what was sent to them. Idempotent. */
  close(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    closedByOwner(this);
    this.#unmap();
    native.close(fd);
  }

  /** {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #sealMapped(mapped: MappedMemory, fd: number, seals: number): void {
    try {
      native.sealMapped(mapped.bytes.buffer as ArrayBuffer, fd, seals);
    } catch (error) {
      if (mapped.bytes.length === 0) this.#unmap();
      throw error;
    }
  }

  #unmap(): void {
    this.#mapped?.close();
    this.#mapped = undefined;
  }
}

function createMemFd(name: string, size: number): number {
  try {
    // Since Linux 6.3 the kernel logs that MFD_NOEXEC_SEAL is missing, and can be configured to refuse a memfd without it.
    return native.memFd(name, size, MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== 'memfd_create') throw error;
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    return native.memFd(name, size, MFD_ALLOW_SEALING);
  }
}
