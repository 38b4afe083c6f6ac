import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { discardFd, inThread } from './in-thread.js';
import { openFailed } from './open-file.js';

/** An open directory: a `ReceivedFile`, a `FileHandle`. It stays the caller's, and can be closed when `openFile()` has returned. */
export interface Directory {
  /** The number of its descriptor. */
  readonly fd: number;
}

/** What to open. */
export interface OpenRequest {
  readonly path: string;
  readonly flags: number;
  /** Of a file that is made. The umask takes bits away from it. */
  readonly mode: number;
  /** Nothing outside of it is reached. Undefined: every path is good. */
  readonly beneath: string | Directory | undefined;
}

/**
 * Opens a file in a thread of its own, and without waiting for the other end of a FIFO. The directory is only borrowed, until this returns.
 * The descriptor belongs to the caller, and is guarded.
 *
 * @throws in the promise: GrpcFdError `ERR_GRPCFD_OPEN_FAILED`; the reason of the signal
 */
export async function openInThread(request: OpenRequest, signal: AbortSignal): Promise<number> {
  const { path, flags, mode, beneath } = request;
  try {
    const fd = typeof beneath === 'object' ? duplicateGuarded(beneath.fd) : undefined;
    const directoryPath = typeof beneath === 'string' ? beneath : '';
    return await inThread<number>(
      {
        syscall: beneath === undefined || path === '.' ? 'open' : 'openat2',
        fd,
        start: (onDone) => native.openInThread(fd ?? -1, directoryPath, path, flags, mode, onDone),
        discard: discardFd,
      },
      signal,
    );
  } catch (error) {
    if (signal.aborted || error instanceof GrpcFdError) throw error;
    throw openFailed(path, flags, error);
  }
}

/** It belongs to the caller. */
export function duplicateGuarded(fd: number): number {
  const duplicate = native.duplicate(fd);
  native.guard(duplicate);
  return duplicate;
}
