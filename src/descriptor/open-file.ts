import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';

/** As every program has it: the umask takes away from it. */
const NEW_FILE_MODE = 0o666;

/**
 * Opens a file, CLOEXEC. The caller owns what is returned. Not through `node:fs`, which keeps count of what a
 * worker opened there and complains about descriptors that it does not know.
 *
 * @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` or `ERR_GRPCFD_OPEN_FAILED`; nothing is open then.
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
