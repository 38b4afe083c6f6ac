import { native } from '../native/binding.js';
import type { PeerCredentials } from '../native/peer-types.js';

/**
 * The process at the other end of a connected unix socket, if it is certain. The credentials of a socketpair are those of the process that
 * made it, at both ends, whoever has them now. A socket that was accepted has the name of its listener. Only who has this end can give it
 * a name. But whoever has the other end of a pair can name that one, so a name of the peer shows nothing.
 *
 * @param dialled whether this process has connected the socket to an address
 */
export function peerOf(fd: number, dialled = false): PeerCredentials | undefined {
  const isCertain = dialled || native.socketName(fd, false).length > 0;
  return isCertain ? native.peerCredentials(fd) : undefined;
}
