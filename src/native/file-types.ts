/** What the addon tells about files, and the numbers of the kernel for them. */

/** The kinds of open files, in the order of their numbers in native/file-kind.cc. */
export const FILE_KINDS: readonly FileKind[] = [
  'unknown',
  'file',
  'directory',
  'symlink',
  'pipe',
  'socket',
  'memfd',
  'eventfd',
  'epoll',
  'timerfd',
  'signalfd',
  'inotify',
  'pidfd',
  'dmabuf',
  'namespace',
  'tty',
  'device',
];

/**
 * What an open file is:
 *
 * - `file`: a regular file in any file system
 * - `directory`
 * - `symlink`: the link itself, which can only be open with O_PATH
 * - `pipe`: an end of a pipe, or a FIFO
 * - `socket`: a socket of any family and type. With the access `path` it is a socket file, which can be dialled and not read.
 * - `memfd`: memory, as of `createSharedMemory()`, also in huge pages
 * - `eventfd`, `epoll`, `timerfd`, `signalfd`, `inotify`, `pidfd`, `dmabuf`: what the system calls of these names make
 * - `namespace`: a namespace of any type, as in /proc/self/ns
 * - `tty`: a terminal, a pseudoterminal or a serial line
 * - `device`: any other device, of characters or blocks
 * - `unknown`: anything else, for example what a later kernel has
 *
 * It is read from the descriptor itself, without waiting for anybody, and by what a peer cannot forge: the kernel keeps memfds,
 * namespaces, eventfds and the like on devices of their own, which no peer can put a file on. Without /proc, namespaces look like files,
 * and what is on the device of eventfds is `unknown`.
 */
export type FileKind =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'pipe'
  | 'socket'
  | 'memfd'
  | 'eventfd'
  | 'epoll'
  | 'timerfd'
  | 'signalfd'
  | 'inotify'
  | 'pidfd'
  | 'dmabuf'
  | 'namespace'
  | 'tty'
  | 'device'
  | 'unknown';

/** What the kernel tells about a descriptor. */
export interface Description {
  /** `<st_dev>/<st_ino>`, both decimal. */
  readonly inode: string;
  readonly kind: FileKind;
  /** F_GETFL: access mode and file status flags. */
  readonly flags: number;
  readonly isBlockDevice: boolean;
  /** The major and minor number of the device that a device file stands for. */
  readonly device: readonly [major: number, minor: number];
}

/** What `look` tells of a descriptor: no unix socket, a unix socket, or what `placeholder` has made, here or in another process. */
export const SOCKETS = { NONE: 0, UNIX: 1, PLACEHOLDER: 2 } as const;

/** A descriptor, and which file it is of. */
export interface NamedFd {
  readonly fd: number;
  /** `<st_dev>/<st_ino>`, both decimal. */
  readonly inode: string;
}

/** What `look` tells of a descriptor. The inode is `0/0`, which no file has, where the file system refuses to tell it. */
export interface Look extends NamedFd {
  /** One of {@link SOCKETS}. */
  readonly socket: number;
}

/** How `readNow` and `writeNow` keep from waiting. */
export const WAY = {
  /** The open file is non-blocking, and nobody else can change that. */
  OWN: 0,
  /** RWF_NOWAIT. */
  NO_WAIT: 1,
  /** MSG_DONTWAIT, for sockets. */
  SOCKET: 2,
  /** RWF_NOWAIT, or `splice` where a pipe does not have it. */
  PIPE: 3,
} as const;

/** For `addSeals` and `getSeals`, the same on every architecture. */
export const F_SEAL_SEAL = 0x1;
export const F_SEAL_SHRINK = 0x2;
export const F_SEAL_GROW = 0x4;
export const F_SEAL_WRITE = 0x8;

/** For `memFd`. */
export const MFD_ALLOW_SEALING = 0x2;
/** Since Linux 6.3; older kernels answer EINVAL. */
export const MFD_NOEXEC_SEAL = 0x8;

/** The result of `fileSystemType` for memory in pages of the usual size: a memfd, or a file on tmpfs. */
export const TMPFS_MAGIC = 0x01021994;
