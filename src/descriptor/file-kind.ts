import type { BigIntStats } from 'node:fs';

/**
 * The kind of an open file. `other` is for files without a file type in the kernel: eventfd, epoll, timerfd, io_uring, pidfd of older
 * kernels. A symlink can only be open with O_PATH.
 */
export type FileKind =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'socket'
  | 'pipe'
  | 'character-device'
  | 'block-device'
  | 'other';

export function fileKind(stats: BigIntStats): FileKind {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isSocket()) return 'socket';
  if (stats.isFIFO()) return 'pipe';
  if (stats.isCharacterDevice()) return 'character-device';
  if (stats.isBlockDevice()) return 'block-device';
  return 'other';
}

/** Whether the bytes of the file have positions, so that `pread` and `pwrite` work. */
export function isPositioned(kind: FileKind): boolean {
  return kind === 'file' || kind === 'block-device';
}
