import { closeAll, identify } from '../native/binding.js';

/**
 * Closes descriptors that were received, in one native call. Their numbers must not be used afterwards. It waits for nobody: what may take
 * any time to close (a file whose server does not answer, a socket with a linger time) is closed by a thread, soon. Errors are not reported: a
 * descriptor is closed even where its file system reports an error, and numbers that are not open are skipped.
 *
 * @param fds descriptors that belong to the caller
 * @throws ERR_INVALID_ARG_TYPE where `fds` is not an array of 32-bit integers. None of them is closed then.
 */
export function closeFds(fds: readonly number[]): void {
  closeAll(fds);
}

/**
 * Tells to which files descriptors refer, with one native call for all. No server of a file system is asked. They can be of any kind, O_PATH included.
 *
 * @param fds descriptors, which stay the caller's
 * @returns `[dev, ino, dev, ino…]`, two numbers for each descriptor
 * @throws EBADF where one of them is not open; other errors of `statx`; ERR_INVALID_ARG_TYPE
 */
export function identifyFds(fds: readonly number[]): BigUint64Array {
  return identify(fds);
}
