/** The exports of the addon: syscalls that Node.js lacks, without policy. They throw errors in the form of Node's own. */

import type { Bridge, SocketHandle } from './bridge-types.js';
import type { ClosingFunctions } from './closing-types.js';
import type { EventFdFunctions } from './event-fd.js';
import type { Description, Look, NamedFd } from './file-types.js';
import type { NamespaceFunctions } from './namespace-types.js';
import type { PeerCredentials, PeerFunctions } from './peer-types.js';
import type { SocketFunctions } from './socket-types.js';
import type { ThreadFunctions } from './thread-types.js';

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
  /** A guarded duplicate, and the inode of its file. `fd` is only borrowed. */
  duplicateToSend(fd: number): NamedFd;
  /** Guarded duplicates of all of them. When this throws, no duplicate is left. */
  duplicateAll(fds: readonly number[]): number[];
  /**
   * The addon closes a guarded `fd` when this environment is torn down. For a worker that may be at any moment (`worker.terminate()`). Call
   * `unguard` before you give a guarded descriptor to code that closes it without `close` and `closeAll`: its number may belong to another
   * file later.
   */
  guard(fd: number): void;
  /**
   * For a guarded socket that an object of Node is about to take over. That object closes it at the teardown, if it has it by then, and the
   * addon otherwise. Call `unguard` when the object has it.
   */
  lend(fd: number): void;
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
   * Reads what there is, and never waits. `way` is one of `WAY`. Returns the number of bytes, 0 at the end, or a negative errno:
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
  /** What the kernel knows of each descriptor without asking anybody, but before Linux 4.11. They are only borrowed. */
  look(fds: readonly number[]): Look[];

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
    /** Calls `callback` before each wait of the event loop, as another addon may, until it returns true. What is started later comes before. */
    callBeforeWaits(callback: () => boolean): void;
    /** A TCP socket and its peer, guarded. The last close of the socket waits until the peer is closed, or an hour. */
    lingeringSocket(): [number, number];
    /** Whether the descriptor would be closed before `close` returns. */
    closesAtOnce(fd: number): boolean;
  };
}
