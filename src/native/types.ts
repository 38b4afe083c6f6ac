/** The exports of the addon: syscalls that Node.js lacks, without policy. They throw errors in the form of Node's own. */

import type { ClosingFunctions } from './closing-types.js';
import type { EventFdFunctions } from './event-fd.js';
import type { NamespaceFunctions } from './namespace-types.js';
import type { PeerFunctions } from './peer-types.js';
import type { SocketFunctions } from './socket-types.js';
import type { ThreadFunctions } from './thread-types.js';

/** The process at the other end of a unix socket, at the time at which the two were connected (SO_PEERCRED). */
export interface PeerCredentials {
  /** Process id. It may belong to another process by now. */
  readonly pid: number;
  /** Effective user id. */
  readonly uid: number;
  /** Effective group id. */
  readonly gid: number;
  /** Supplementary group ids (SO_PEERGROUPS), without `gid`. Left out where they are not known. */
  readonly groups?: readonly number[] | undefined;
  /** Label of the security module, such as SELinux or AppArmor (SO_PEERSEC). Left out where there is none. */
  readonly label?: string | undefined;
}

/**
 * The indices in the memory where {@link SocketHandle.receive} puts the descriptors of a message: their count, 1 if some are missing, and
 * then their numbers. They belong to the caller, and are guarded. `ARRIVED.LENGTH` elements have room for any message. Descriptors are
 * missing (MSG_CTRUNC) when the kernel could not deliver them, in most cases because the descriptor table was full.
 */
export const ARRIVED = { COUNT: 0, TRUNCATED: 1, FIRST: 2, LENGTH: 2 + 253 } as const;

/** For {@link SocketHandle.watch}, the values of libuv's UV_READABLE, UV_WRITABLE and UV_DISCONNECT. */
export const READABLE = 1;
export const WRITABLE = 2;
/** The peer has ended its side. It does not keep the process alive to watch for this. */
export const DISCONNECT = 4;

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

/** What `findSockets` tells of a descriptor: no unix socket, a unix socket, or what `placeholder` has made, here or in another process. */
export const SOCKETS = { NONE: 0, UNIX: 1, PLACEHOLDER: 2 } as const;

/** How {@link NativeBinding.readNow} and `writeNow` keep from waiting. */
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

/**
 * One unix stream socket, connected or listening, that the event loop watches. Methods that return a number return a negative errno for
 * failures that are to be expected. After `close`, all methods but `close` throw EBADF.
 */
export interface SocketHandle {
  /** Calls `onReady` while the socket is ready for any of these events (level-triggered). After an error it is called with both. */
  watch(events: number): void;
  /**
   * One `recvmsg` into `buffer` from `offset` on. Returns the number of bytes, 0 at the end of the stream. In all cases, `arrived` has the
   * descriptors that came with them: see {@link ARRIVED}.
   */
  receive(buffer: Uint8Array, offset: number, arrived: Int32Array): number;
  /**
   * One `sendmsg` of at most `limit` bytes of `buffers`, with the first `count` of `descriptors`, which are borrowed. With a negative result,
   * none of the descriptors was sent. With any other result, all of them were.
   */
  send(buffers: readonly Uint8Array[], limit: number, descriptors: Int32Array, count: number): number;
  /** Whether the kernel would send this descriptor: 0 or a negative errno. The peer does not notice it. */
  probe(fd: number): number;
  /** SHUT_WR. 0 or a negative errno. */
  shutdown(): number;
  /** Whether the peer has ended its side, and nothing is left to read. */
  hasEnded(): boolean;
  listen(backlog: number): void;
  /** Whether there is something to read or to accept. */
  isReadable(): boolean;
  /** A connected descriptor that belongs to the caller and is guarded, or a negative errno. */
  accept(): number;
  ref(): void;
  unref(): void;
  /** Closes nothing: the descriptor is returned, and belongs to the caller. It is not guarded. After that, it is as after `close`. */
  release(): number;
  /**
   * Closes the socket. Idempotent. True if it is not closed yet, because a thread closes it, together with what the peer has sent: then
   * `onClosed` is called when it is.
   */
  close(onClosed?: () => void): boolean;
}

/** How the bytes are forwarded that Node wrote to its end of a {@link Bridge}. */
export const OUTGOING = {
  /** The addon forwards them at once. */
  NATIVE: 0,
  /** JavaScript takes them with `take`, and sends them with `send`, so that descriptors can travel with them. */
  SCRIPT: 1,
  /** They wait in the pair for now. */
  HELD: 2,
  /** They are dropped, because nothing can be sent any more. */
  DISCARD: 3,
} as const;

/** The events that `onEvent` of a {@link Bridge} is called with. */
export const BRIDGE_EVENT = {
  /** Descriptors are in `arrived`. Node gets the bytes that they came with later. The callee must not run code of the user. */
  ARRIVED: 0,
  /** With OUTGOING.SCRIPT: there may be bytes to take, or the kernel takes bytes again. */
  OUTGOING: 1,
  /**
   * The addon could not send. The value is the errno. The bytes are kept for `take`. With OUTGOING.DISCARD it comes once, when Node has
   * written something.
   */
  SEND_FAILED: 2,
  /** Node has ended its side, and the kernel has taken all that it wrote. */
  FLUSHED: 3,
  /** The peer has closed the connection while nothing was read from it, and nothing waits to be sent. It comes once. */
  HUNG_UP: 4,
  /** After `readToEnd`: nothing more has come from the peer for now. */
  DRAINED: 5,
  /** Node has not read what came for a quarter of a second, though none of its writes was in progress. */
  STALLED: 6,
  /** After `tellAnswered`: Node has got the bytes that it was being given, and what it wrote in answer has been forwarded. */
  ANSWERED: 7,
} as const;

/**
 * Lets a stock net.Socket of Node, over one end of a socketpair, use a connection that carries descriptors: see native/bridge.h. After
 * `close`, all methods but `close`, `bytesRead` and `bytesWritten` throw EBADF.
 */
export interface Bridge {
  /** One of {@link OUTGOING}. It begins with NATIVE. */
  setOutgoing(outgoing: number): void;
  /** The kernel takes no more bytes. The event OUTGOING follows when it does again. */
  setBlocked(): void;
  /** Whether the kernel takes no more bytes at present, as far as is known. */
  isBlocked(): boolean;
  /** Whether what comes is read. Until then it stays with the kernel, and the peer cannot go on sending. At first it is. */
  setReading(wanted: boolean): void;
  /** Forwards at once what Node has written. */
  forward(): void;
  /** Takes bytes that Node wrote. Returns their number, 0 at the end, or -EAGAIN. */
  take(buffer: Uint8Array): number;
  /** See {@link SocketHandle.send}. */
  send(buffers: readonly Uint8Array[], limit: number, descriptors: Int32Array, count: number): number;
  /** See {@link SocketHandle.probe}. */
  probe(fd: number): number;
  /**
   * Sends `bytes`, at most 64 KiB, behind all that Node has written. False, and nothing happens, if that does not end with a whole write of
   * Node, or if Node has written nothing yet.
   */
  insert(bytes: Uint8Array): boolean;
  /** All that Node wrote has been sent, and no more will come. The event FLUSHED follows at once. */
  endWriting(): void;
  /** The event DRAINED follows when Node has got all that came, unless the connection ends then. */
  readToEnd(): void;
  /** Whether Node is being given bytes now. The event ANSWERED follows then. */
  tellAnswered(): boolean;
  /**
   * Node is about to close its handle, which must not be used any more. Returns 0 if all that it wrote has been sent; otherwise 1 if Node has
   * ended its side, 2 if it has not.
   */
  detach(held: boolean): 0 | 1 | 2;
  /**
   * `<st_dev>/<st_ino>` of the socket at the other end. Undefined where the kernel does not tell it: without its module unix_diag, in
   * another network namespace, or after that end was closed.
   */
  peerInode(): string | undefined;
  /** Kernel memory of the messages that the peer has not read, in bytes. */
  unread(): number;
  /** The account on which the descriptors are closed that come on this connection: see {@link ClosingFunctions}. */
  account(): number;
  /** Keeps the process alive until it is closed. */
  ref(): void;
  bytesRead(): number;
  bytesWritten(): number;
  /** Closes the connection at once. Idempotent. */
  close(): void;
}

export interface NativeBinding
  extends ThreadFunctions,
    NamespaceFunctions,
    EventFdFunctions,
    PeerFunctions,
    SocketFunctions,
    ClosingFunctions {
  /**
   * `fds` are the connection, the far end of the pair, and the near end, which Node already has. Takes over and unguards the first two,
   * unless this throws. Descriptors are put into `arrived`, as {@link SocketHandle.receive} does.
   */
  readonly Bridge: new (
    fds: Int32Array,
    arrived: Int32Array,
    onEvent: (event: number, value: number) => void,
  ) => Bridge;

  /** Takes over `fd`, a unix stream socket, unguards it, and makes it non-blocking. When this throws, `fd` is still the caller's. */
  readonly SocketHandle: new (
    fd: number,
    onReady: (events: number) => void,
  ) => SocketHandle;

  /** A second descriptor of the same open file, close-on-exec. It belongs to the caller. `fd` is only borrowed. */
  duplicate(fd: number): number;
  /** Guarded duplicates of all of them. When this throws, no duplicate is left. */
  duplicateAll(fds: readonly number[]): number[];
  /**
   * The addon closes a guarded `fd` when this environment is torn down. For a worker that may be at any moment (`worker.terminate()`). Call
   * `unguard` before you give a guarded descriptor to code that closes it without `close` and `closeAll`: its number may belong to another
   * file later.
   */
  guard(fd: number): void;
  unguard(fd: number): void;
  unguardAll(fds: readonly number[]): void;
  /** `open(2)` with O_CLOEXEC. `fs.openSync` is not used, because Node closes what a worker opened with it when the worker ends. */
  open(path: string, flags: number, mode: number): number;
  /** `[dev, ino, dev, ino…]` of descriptors of any kind, O_PATH included. No server of a file system is asked, but before Linux 4.11. */
  identify(fds: readonly number[]): BigUint64Array;
  /** `<st_dev>/<st_ino>`, both decimal, of a descriptor of any kind, O_PATH included. */
  inode(fd: number): string;
  /** What the kernel knows about a descriptor of any kind, without asking anybody. `fd` is only borrowed. */
  describe(fd: number): Description;
  /**
   * Reads what there is, and never waits. `way` is one of {@link WAY}. Returns the number of bytes, 0 at the end, or a negative errno:
   * EAGAIN where there is nothing yet, EOPNOTSUPP where a file of this kind cannot be read so.
   */
  readNow(fd: number, way: number, into: Uint8Array): number;
  /** Writes what the file takes, and never waits: see `readNow`. */
  writeNow(fd: number, way: number, bytes: Uint8Array): number;
  /**
   * Calls `onReady(fd, events)` once when `fd` is ready for one of the events (READABLE, WRITABLE). All calls of a thread give the same
   * function. With 0 it is not watched any more, which must come before it is closed. With `keepsAlive`, the process does not end while it is
   * watched.
   */
  watchReady(
    fd: number,
    events: number,
    onReady: (fd: number, events: number) => void,
    keepsAlive: boolean,
  ): void;
  /** O_NONBLOCK of the open file, which all who have it share. */
  setNonBlocking(fd: number, wanted: boolean): void;
  /** Whether a socket of any kind was shut down for reading. Without that, nothing received was an empty datagram. */
  receivingEnded(fd: number): boolean;
  /** SHUT_WR of a socket of any kind. */
  shutdownWriting(fd: number): void;
  /** F_GETFL: access mode and file status flags. */
  statusFlags(fd: number): number;
  /** `fs.constants` does not have it. */
  readonly O_PATH: number;
  /** The errno for too many descriptors in flight. `os.constants.errno` does not have it. */
  readonly ETOOMANYREFS: number;
  /** An error like that of a failed syscall. `errno` is positive. */
  systemError(errno: number, syscall: string): NodeJS.ErrnoException;

  /** Two connected unix stream sockets, non-blocking, guarded. */
  socketPair(): [number, number];
  peerCredentials(fd: number): PeerCredentials;
  /** A connected, non-blocking socket, guarded. `name` is a path, or an abstract name that starts with NUL. EAGAIN: the backlog is full. */
  connectUnix(name: Uint8Array): number;
  /** A socket bound to that name, guarded. It does not listen yet. */
  bindUnix(name: Uint8Array): number;
  /**
   * A socket that listens at that path, guarded. A dead socket file there is replaced. The file has its mode and owner before the socket
   * listens. If this throws after it has made the file, it removes the file. `settings` are: 1 to take the lock of the directory, the
   * backlog, the mode, the user id and the group id. 2^32-1 stands for a mode or id that stays as it is. `identity` is filled with `dev` and
   * `ino` of the file. Returns -EWOULDBLOCK, and does nothing, when another process has the lock. A directory that cannot be locked is used
   * without the lock.
   */
  listenAtPath(
    path: Uint8Array,
    directory: string,
    settings: BigUint64Array,
    identity: BigUint64Array,
  ): number;
  /** Removes a dead socket file, under the lock of its directory if that is free. Does nothing if anything else is at the path. */
  removeDeadSocketFile(path: Uint8Array, directory: string): void;
  /** The address of a unix socket, or of the one at its other end: a path, an abstract name, or no bytes. */
  socketName(fd: number, ofPeer: boolean): Buffer;
  /**
   * Fills `identity` with `dev` and the low 32 bits of `ino` of the file that a unix socket is bound to. False where it has none, or the
   * kernel does not tell: without its module unix_diag, or in another network namespace.
   */
  boundFile(fd: number, identity: BigUint64Array): boolean;
  /** Whether a unix stream socket listens. ENOTSOCK, EAFNOSUPPORT or EPROTOTYPE: it is not one. */
  isListening(fd: number): boolean;
  /**
   * Whether any thread of this process has claimed that number: later the kernel may have given it to another file. It can be claimed again
   * for a listener if the addon has given that number to the user since (`unguard`, `release`).
   */
  isUsedUp(fd: number, asListener: boolean): boolean;
  /** Claims that number. False, and nothing happens, if it is used up. */
  claimInherited(fd: number, asListener: boolean): boolean;
  /** Whether an object of this thread's event loop uses the descriptor of that number: a socket or server of Node.js or of this package. */
  isInUse(fd: number): boolean;
  /** Sends one datagram with the first `count` of `descriptors`, which are borrowed. 0 or a negative errno. EAGAIN: the receiver's queue is full. */
  sendDatagram(name: Uint8Array, bytes: Uint8Array, descriptors: Int32Array, count: number): number;
  /** Makes `fd` close-on-exec. */
  setCloseOnExec(fd: number): void;
  /** A descriptor without any use, guarded. It is sent in place of one that cannot be sent. */
  placeholder(): number;
  /** For each descriptor, one of {@link SOCKETS}. No file system is asked. */
  findSockets(fds: readonly number[]): number[];

  /** A memory file of that size, close-on-exec, guarded. */
  memFd(name: string, size: number, flags: number): number;
  addSeals(fd: number, seals: number): void;
  /** EINVAL: files of this kind cannot be sealed. */
  getSeals(fd: number): number;
  /** `f_type` of `fstatfs`. */
  fileSystemType(fd: number): number;
  /**
   * Maps the first `length` bytes of a file. With `writable`, the memory is shared with every process that has the file. Otherwise it is
   * private, and stores stay in it. `fd` is only borrowed. If the file gets shorter, an access to the missing part kills the process. The
   * mapping lasts until `unmap`, or until the buffer is collected.
   */
  map(fd: number, length: number, writable: boolean): ArrayBuffer;
  /** Empties the buffer of `map`, and gives the memory back: at once if there is little, and soon otherwise. Idempotent. */
  unmap(buffer: ArrayBuffer): void;
  /**
   * Adds seals to the file of the buffer of a writable `map`, whose stores stay in it then. Where this throws, nothing has changed; only if
   * the kernel had no memory for that, the buffer is empty.
   */
  sealMapped(buffer: ArrayBuffer, fd: number, seals: number): void;
  /**
   * Enters the pages of `buffer` into the page table, in a thread of the pool, so that no access has to wait for that. Calls for the same
   * buffer share the work.
   */
  populate(buffer: ArrayBuffer): Promise<void>;

  /** For the tests of this package only. */
  readonly testing: {
    pipe(): [number, number];
    setSendBuffer(fd: number, bytes: number): void;
    /** A blocking socket of that family, type and protocol, all as numbers. 0 is the usual protocol. */
    socketOf(family: number, type: number, protocol: number): number;
    /** Binds a socket of AF_INET to a free port of 127.0.0.1. */
    bindToLoopback(fd: number): void;
    /** One end of a socketpair. The other one is closed. */
    socketPairOf(family: number, type: number): number;
    /** SO_LINGER. */
    setLinger(fd: number, seconds: number): void;
    setSocketOption(fd: number, option: number, value: number): void;
    setDescriptorLimit(count: number): void;
    ioUring(): number;
    /** A datagram socket that is bound to that name. */
    datagramSocket(name: Uint8Array): number;
    /** F_SETLEASE, for writing: whoever else opens the file waits, and this process gets SIGIO. */
    lease(fd: number, wanted: boolean): void;
    /** Gives a unix socket an abstract name that the kernel chooses. It may be connected already. */
    nameSocket(fd: number): void;
    /** {@link SocketHandle.receive} for a datagram socket. */
    receiveDatagram(fd: number, buffer: Uint8Array, arrived: Int32Array): number;
    /** Takes the exclusive `flock` of an open file if it is free. It is released when the file is closed. */
    tryLock(fd: number): boolean;
    eventFd(isSemaphore?: boolean): number;
    epoll(): number;
    timerFd(): number;
    signalFd(): number;
    inotify(): number;
    pidFd(): number;
    /** Master and slave. */
    terminal(): [number, number];
    /** FIONREAD. */
    unreadBytes(fd: number): number;
    /** A TCP socket and its peer, guarded. The last close of the socket waits until the peer is closed, or an hour. */
    lingeringSocket(): [number, number];
    /** Whether the descriptor would be closed before `close` returns. */
    closesAtOnce(fd: number): boolean;
  };
}
