import assert from 'node:assert/strict';
import { devInoToUrl, fdToDevIno } from '../descriptor/inode-url.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';

/**
 * A descriptor of ours that waits to be sent, perhaps on several connections: a call may be tried more than once. Each of them
 * is given a duplicate; this one is whose who made it, who releases it once.
 */
export class SharedDescriptor {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly #fd: number;
  #released = false;

  /** Takes `fd` over, and closes it if it throws. */
  constructor(fd: number) {
    this.#fd = fd;
    try {
      const { dev, ino } = fdToDevIno(fd);
      this.dev = dev;
      this.ino = ino;
    } catch (error) {
      native.close(fd);
      throw error;
    }
  }

  get url(): string {
    return devInoToUrl(this);
  }

  /**
   * The caller's own.
   *
   * @throws GrpcFdError `ERR_GRPCFD_SEND_FAILED` with the failed syscall as its cause
   */
  duplicate(): number {
    // The number may be another file's by now.
    assert(!this.#released, 'a released descriptor is not to be sent');
    return duplicateForSending(this.#fd);
  }

  /** Closes it. */
  release(): void {
    assert(!this.#released, 'a descriptor is released once');
    this.#released = true;
    native.close(this.#fd);
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
  return new SharedDescriptor(duplicateForSending(fd));
}

function duplicateForSending(fd: number): number {
  try {
    return native.duplicate(fd);
  } catch (cause) {
    const text = `file descriptor ${fd} cannot be sent: ${(cause as Error).message}`;
    throw new GrpcFdError('ERR_GRPCFD_SEND_FAILED', text, { cause });
  }
}
