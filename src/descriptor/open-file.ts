import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';

/** The usual mode of new files. The umask takes bits away from it. */
const NEW_FILE_MODE = 0o666;

/**
 * Opens a file, CLOEXEC. The caller owns the descriptor that is returned. `node:fs` is not used, because it counts the files that a
 * worker opens, and complains when other descriptors are closed.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` or `ERR_GRPCFD_OPEN_FAILED`. Nothing is open then.
 */
export function openFile(path: string, flags: number): number {
  if (typeof path !== 'string' || path.includes('\0')) {
    throw new GrpcFdError(
      'ERR_GRPCFD_INVALID_ARGUMENT',
      `a path must be a string without NUL characters, not ${quotePeerText(path)}`,
    );
  }
  try {
    return native.open(path, flags, NEW_FILE_MODE);
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new GrpcFdError('ERR_GRPCFD_OPEN_FAILED', `${quotePeerText(path)} could not be opened: ${text}`, {
      cause,
    });
  }
}
