import { closeAll, identify } from '../native/binding.js';

/**
 * Closes descriptors that were received, in one native call. Their numbers must not be used any more, whatever happens: an error of
 * a file that is closed is not reported, as the descriptor is gone all the same, and one that is not open is passed over.
 */
export function closeFds(fds: readonly number[]): void {
  closeAll(fds);
}

/**
 * `[dev, ino, dev, ino…]`, which tells the files apart that descriptors of any kind refer to, O_PATH included: one native call for the
 * `fstat` of all. They stay the caller's. Throws EBADF if one is not open, and what else `fstat` fails with.
 */
export function identifyFds(fds: readonly number[]): BigUint64Array {
  return identify(fds);
}
