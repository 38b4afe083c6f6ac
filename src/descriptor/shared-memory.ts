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
} from '../native/types.js';
import { closedByOwner, closeWhenCollected } from './close-when-collected.js';
import { type MappedMemory, mapSealed } from './mapped-memory.js';

export interface SharedMemoryOptions {
  /** Shown in `/proc/PID/fd` and `/proc/PID/maps`, and good for nothing else. At most 249 bytes. Default `grpcfd`. */
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
 * Makes memory that can be handed to other processes: a memfd of that many bytes, all 0, whose size can never change. The caller is to
 * close it.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`; where the kernel refuses (EMFILE), its own error. Nothing is open then.
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
 * Owns a memfd, and closes it once: at {@link close}, at the end of a `using` block, or when it is collected, which gives a process
 * warning with the code `GRPCFD_UNCLOSED`. It can be sent like any file: `fds.sendFile(memory)`. Whoever received it has the memory for
 * as long as they like, and unless it is sealed can write to it.
 */
export class SharedMemory implements Disposable {
  readonly size: number;
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

  /** The number. It stays this object's: send it, look at it, but do not close it. Throws once this is closed. */
  get fd(): number {
    if (this.#fd !== undefined) return this.#fd;
    throw new GrpcFdError(
      'ERR_GRPCFD_FILE_CLOSED',
      `the shared memory ${quotePeerText(this.name)} was closed`,
    );
  }

  get closed(): boolean {
    return this.#fd === undefined;
  }

  /** Nobody can write to it any more. */
  get sealed(): boolean {
    return (native.getSeals(this.fd) & F_SEAL_WRITE) !== 0;
  }

  /**
   * The memory itself, mapped when it is first asked for. Stores reach everybody who has it, until it is sealed; then they stay in this
   * view. Views taken earlier are empty after {@link seal} and {@link close}.
   */
  get bytes(): Uint8Array {
    this.#mapped ??= mapSealed(this.fd, quotePeerText(this.name), { writable: !this.sealed });
    return this.#mapped.bytes;
  }

  /**
   * Makes the content final, for this process and every other: what a receiver has checked then stays as it was. Fails with EBUSY, and
   * changes nothing, while another process has mapped it to write to it. Idempotent.
   */
  seal(): void {
    const { fd } = this;
    if (this.sealed) return;
    // The kernel refuses as long as anybody could write through a mapping, this process as well.
    this.#unmap();
    native.addSeals(fd, F_SEAL_WRITE | F_SEAL_SEAL);
  }

  /** Closes the descriptor and gives back the mapping. What was sent is not affected. Idempotent. */
  close(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    closedByOwner(this);
    this.#unmap();
    native.close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #unmap(): void {
    this.#mapped?.close();
    this.#mapped = undefined;
  }
}

function createMemFd(name: string, size: number): number {
  try {
    // Without it, kernels since 6.3 say in their log that it is missing, and may be told to refuse.
    return native.memFd(name, size, MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== 'memfd_create') throw error;
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    return native.memFd(name, size, MFD_ALLOW_SEALING);
  }
}
