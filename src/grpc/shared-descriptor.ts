import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';

/**
 * A descriptor of ours that waits to be sent, perhaps on several connections: a call may be tried more than once.
 * Whoever made it holds one reference; it is closed when the last reference is released.
 */
export class SharedDescriptor {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly #fd: number;
  #references = 1;

  /** Takes `fd` over, and closes it if it throws. */
  constructor(fd: number) {
    this.#fd = fd;
    try {
      const [dev, ino] = native.identify([fd]);
      this.dev = dev ?? 0n;
      this.ino = ino ?? 0n;
    } catch (error) {
      native.close(fd);
      throw error;
    }
  }

  /** Only while a reference is held. */
  get fd(): number {
    return this.#fd;
  }

  get url(): string {
    return `inode://${this.dev}/${this.ino}`;
  }

  retain(): this {
    this.#references++;
    return this;
  }

  release(): void {
    this.#references--;
    if (this.#references === 0) native.close(this.#fd);
  }
}

/**
 * A duplicate of the caller's descriptor, which stays the caller's.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, or `ERR_GRPCFD_SEND_FAILED` with the failed syscall as its cause
 */
export function duplicateToSend(fd: number): SharedDescriptor {
  if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fff_ffff) {
    throw new GrpcFdError(
      'ERR_GRPCFD_INVALID_ARGUMENT',
      `a file descriptor is a non-negative integer, not ${String(fd)}`,
    );
  }
  return attempt(`file descriptor ${fd} cannot be sent`, 'ERR_GRPCFD_SEND_FAILED', () =>
    native.duplicate(fd),
  );
}

/**
 * A descriptor opened at `path`.
 *
 * @throws GrpcFdError `ERR_GRPCFD_OPEN_FAILED` with the failed syscall as its cause
 */
export function openToSend(path: string, flags: number): SharedDescriptor {
  return attempt(`${path} cannot be opened`, 'ERR_GRPCFD_OPEN_FAILED', () => native.open(path, flags, 0o666));
}

function attempt(
  what: string,
  reason: 'ERR_GRPCFD_SEND_FAILED' | 'ERR_GRPCFD_OPEN_FAILED',
  make: () => number,
): SharedDescriptor {
  try {
    return new SharedDescriptor(make());
  } catch (cause) {
    throw new GrpcFdError(reason, `${what}: ${(cause as Error).message}`, { cause });
  }
}
