import type { Arrival, Inode } from '../inbox/names.js';
import { native } from '../native/binding.js';

/**
 * What came in as `fd`, which belongs to the caller. `peerInode` tells the inode of the peer's end of the connection.
 *
 * A peer may send its own end of this connection. This process would then keep the connection open after the peer has gone, with all
 * descriptors that it holds. So that descriptor is closed, and a placeholder keeps its sequence number. A receive of it fails.
 *
 * @throws the error of a failed syscall: the descriptor table is full. `fd` is open then.
 */
export function arrivalOf(fd: number, peerInode: () => Inode | undefined): Arrival {
  const inode = inodeOf(fd);
  if (socketDevice === undefined || !inode.startsWith(socketDevice)) return { fd, inode };
  if (native.isPlaceholder(fd)) return { fd, inode, isPlaceholder: true };
  if (inode !== peerInode()) return { fd, inode };
  const placeholder = native.placeholder();
  native.close(fd);
  return { fd: placeholder, inode: NO_INODE, isPlaceholder: true };
}

/** Learns the device of sockets from `socket`, one of them, so that only what may be a socket is looked at more closely. */
export function learnSocketDevice(socket: number): void {
  socketDevice ??= inodeOf(socket).replace(/[^/]*$/, '');
}

/**
 * A file system may refuse to tell the inode: FUSE does so to every user except the one that mounted it. Such a file has a sequence
 * number like the others, and the inode 0, which no file has. A receive of it fails.
 */
export function inodeOf(fd: number): Inode {
  try {
    return native.inode(fd);
  } catch {
    return NO_INODE;
  }
}

const NO_INODE: Inode = '0/0';

/** `<st_dev>/` of every socket, once a connection has shown it. */
let socketDevice: string | undefined;
