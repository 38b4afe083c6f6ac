import { constants } from 'node:fs';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { native, O_PATH } from '../native/binding.js';

/** The usual mode of new files. The umask takes bits away from it. */
export const NEW_FILE_MODE = 0o666;

/**
 * Opens a file, CLOEXEC. The caller owns the descriptor that is returned. `node:fs` is not used, because it counts the files that a
 * worker opens, and complains when other descriptors are closed.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` or `ERR_GRPCFD_OPEN_FAILED`. Nothing is open then.
 */
export function openFile(path: string, flags: number): number {
  checkPath(path);
  try {
    return native.open(path, flags, NEW_FILE_MODE);
  } catch (cause) {
    throw openFailed(path, flags, cause);
  }
}

/**
 * {@link openFile}, which does not wait until a FIFO has another end, or a serial line a carrier. The file does not become the terminal of
 * this process. The open file is blocking, as if it had been opened without this.
 *
 * @throws the errors of {@link openFile}; ENXIO when a FIFO that no process reads is opened to write alone
 */
export function openWithoutWaiting(path: string, flags: number): number {
  if ((flags & (O_PATH | constants.O_NONBLOCK)) !== 0) return openFile(path, flags);
  const fd = openFile(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    native.setNonBlocking(fd, false);
    return fd;
  } catch (cause) {
    native.close(fd);
    throw openFailed(path, flags, cause);
  }
}

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` */
export function checkPath(path: unknown): asserts path is string {
  if (typeof path === 'string' && !path.includes('\0')) return;
  throw new GrpcFdError(
    'ERR_GRPCFD_INVALID_ARGUMENT',
    `a path must be a string without NUL characters, not ${quotePeerText(path)}`,
  );
}

export function openFailed(path: string, flags: number, cause: unknown): GrpcFdError {
  if (cause instanceof GrpcFdError) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  const more = explain(cause as NodeJS.ErrnoException | undefined, flags);
  return new GrpcFdError(
    'ERR_GRPCFD_OPEN_FAILED',
    `${quotePeerText(path)} could not be opened: ${text}${more}`,
    {
      cause,
    },
  );
}

/** What an error of the kernel does not say by itself. */
function explain(cause: NodeJS.ErrnoException | undefined, flags: number): string {
  const code = cause?.code;
  const isWriter = (flags & (constants.O_WRONLY | constants.O_RDWR)) === constants.O_WRONLY;
  if (code === 'ENXIO' && isWriter) return ' (a FIFO that no process has open to read, or a socket)';
  if (code === 'ENXIO') return ' (a socket, or a device that is not there)';
  if (code === 'EAGAIN' && cause?.syscall !== 'openat2')
    return ' (another process has a lease on it: openFile() waits)';
  if (cause?.syscall !== 'openat2') return '';
  if (code === 'EXDEV') return ' (it leads out of the directory)';
  if (code === 'ELOOP') return ' (a link of /proc, too many links, or a link that must not be followed)';
  if (code === 'EAGAIN') return ' (directories were renamed all the time, or another process has a lease)';
  if (code === 'ENOSYS') return ' (the kernel is older than Linux 5.6, or a sandbox forbids it)';
  return '';
}
