import assert from 'node:assert/strict';
import { inodeToUrl } from '../descriptor/inode-url.js';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import type { Inode } from '../inbox/names.js';
import { native } from '../native/binding.js';
import { closeSoon } from '../native/close-together.js';
import type { NamedFd } from '../native/file-types.js';

/**
 * A duplicate that waits to be sent, perhaps on several connections, because a call may have several attempts. It counts its holders: its
 * maker, and each connection on which it is queued. The last one that releases it closes it.
 */
export class CountedFd {
  readonly inode: Inode;
  readonly #fd: number;
  #references = 1;

  /** Takes over a guarded descriptor. */
  constructor({ fd, inode }: NamedFd) {
    this.#fd = fd;
    this.inode = inode;
  }

  get fd(): number {
    // Its number may already belong to another file.
    assert(this.#references > 0, 'a released descriptor cannot be sent');
    return this.#fd;
  }

  get url(): string {
    return inodeToUrl(this.inode);
  }

  retain(): this {
    assert(this.#references > 0, 'a released descriptor cannot be retained');
    this.#references++;
    return this;
  }

  release(): void {
    assert(this.#references > 0, 'each holder releases the descriptor once');
    this.#references--;
    if (this.#references === 0) closeSoon(this.#fd);
  }
}

/**
 * Duplicates the caller's descriptor, which stays the caller's.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT`, or `ERR_GRPCFD_SEND_FAILED` with the failed syscall as its cause
 */
export function duplicateToSend(fd: number): CountedFd {
  if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fff_ffff) {
    throw new GrpcFdError(
      'ERR_GRPCFD_INVALID_ARGUMENT',
      `a file descriptor is a non-negative integer, not ${quotePeerText(fd)}` +
        (fd === -1 ? ': has the file been closed?' : ''),
    );
  }
  try {
    return new CountedFd(native.duplicateToSend(fd));
  } catch (cause) {
    throw sendFailed(`file descriptor ${fd}`, cause);
  }
}

/**
 * Takes `fd` over, and closes it if it throws.
 *
 * @throws GrpcFdError `ERR_GRPCFD_SEND_FAILED` when the kernel does not tell its inode
 */
export function takeOverToSend(fd: number): CountedFd {
  native.guard(fd);
  try {
    return new CountedFd({ fd, inode: native.inode(fd) });
  } catch (cause) {
    native.close(fd);
    throw sendFailed('the file', cause);
  }
}

function sendFailed(what: string, cause: unknown): GrpcFdError {
  if (cause instanceof GrpcFdError) return cause;
  const text = `${what} cannot be sent: ${(cause as Error).message}`;
  return new GrpcFdError('ERR_GRPCFD_SEND_FAILED', text, { cause });
}
