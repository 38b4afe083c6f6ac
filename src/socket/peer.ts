import { native } from '../native/binding.js';
import type { PeerCredentials } from '../native/types.js';

/**
 * The process at the other end of a connected unix socket. The credentials of a socketpair are those of the process that made it, at both
 * ends, whoever has them now. Only the ends of a socketpair both have no name: a socket that listens has one.
 */
export function peerOf(fd: number): PeerCredentials | undefined {
  const isPair = native.socketName(fd, false).length === 0 && native.socketName(fd, true).length === 0;
  return isPair ? undefined : native.peerCredentials(fd);
}
