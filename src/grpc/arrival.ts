import type { Arrival, Inode } from '../inbox/names.js';
import { native } from '../native/binding.js';
import { SOCKETS } from '../native/file-types.js';

/**
 * What came in as `fds`, which belong to the caller. `peerInode` tells the inode of the peer's end of the connection.
 *
 * A peer may send its own end of this connection. This process would then keep the connection open after the peer has gone, with all
 * descriptors that it holds. So that descriptor is closed, and a placeholder keeps its sequence number. A receive of it fails.
 * `onFull` is called when the descriptor table has no room for the placeholder. The descriptor is open then.
 */
export function arrivalsOf(
  fds: readonly number[],
  peerInode: () => Inode | undefined,
  onFull: (error: Error) => void,
): Arrival[] {
  return native.look(fds).map(({ fd, inode, socket }) => {
    if (socket === SOCKETS.PLACEHOLDER) return { fd, inode, isPlaceholder: true };
    if (socket === SOCKETS.NONE || inode !== peerInode()) return { fd, inode };
    try {
      const placeholder = native.placeholder();
      native.close(fd);
      return { fd: placeholder, inode: NO_INODE, isPlaceholder: true };
    } catch (error) {
      onFull(error as Error);
      return { fd, inode };
    }
  });
}

/** That of a file whose file system refuses to tell it. No file has it. A receive of such a file fails. */
const NO_INODE: Inode = '0/0';
