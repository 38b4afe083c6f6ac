/**
 * What the addon exports: syscalls that Node.js lacks, without policy. Failures throw in the form of Node's
 * own errors.
 */

/** Who was at the other end of a unix socket when it was connected. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** What {@link SocketHandle.receive} returns when descriptors came, or were lost, with the bytes. */
export interface Received {
  readonly bytes: number;
  /** Owned by the caller, and guarded. */
  readonly descriptors: number[];
  /**
   * MSG_CTRUNC: the kernel had descriptors to deliver and could not, mostly because the descriptor table was
   * full.
   */
  readonly truncated: boolean;
}

/** For {@link SocketHandle.watch}, the values of libuv's UV_READABLE and UV_WRITABLE. */
export const READABLE = 1;
export const WRITABLE = 2;

/**
 * One unix stream socket, connected or listening, and its place in the event loop. Methods that return a
 * number return a negative errno where the kernel may well say no; once it is closed, all but `close` throw
 * EBADF.
 */
export interface SocketHandle {
  /**
   * Calls `onReady` while any of these is so (level-triggered). After an error on the socket it is called
   * with both.
   */
  watch(events: number): void;
  /** One `recvmsg` into `buffer` from `offset` on. 0 bytes: end of the stream. */
  receive(buffer: Uint8Array, offset: number): number | Received;
  /**
   * One `sendmsg` of at most `limit` bytes of `buffers`, and all of `descriptors`, which are borrowed. After
   * a negative result none of the descriptors has gone, after any other all of them have.
   */
  send(buffers: readonly Uint8Array[], limit: number, descriptors: readonly number[]): number;
  /** Whether the kernel would send this descriptor: 0 or a negative errno. The peer sees nothing of it. */
  probe(fd: number): number;
  /** SHUT_WR. 0 or a negative errno. */
  shutdown(): number;
  listen(backlog: number): void;
  /** A connected descriptor, owned by the caller and guarded, or a negative errno. */
  accept(): number;
  ref(): void;
  unref(): void;
  /** Closes the socket at once. Idempotent. */
  close(): void;
}

export interface NativeBinding {
  /**
   * Takes over `fd`, a unix stream socket, unguards it, and makes it non-blocking. When this throws, `fd` is
   * still the caller's, as it was.
   */
  readonly SocketHandle: new (
    fd: number,
    onReady: (events: number) => void,
  ) => SocketHandle;

  /** A second descriptor of the same open file, close-on-exec, owned by the caller. `fd` is only borrowed. */
  duplicate(fd: number): number;
  /** The same, guarded. */
  duplicateGuarded(fd: number): number;
  /** Closes and unguards `fd`. Throws EBADF only: after any other error the descriptor is gone as well. */
  close(fd: number): void;
  /** Closes and unguards all of them, whatever is wrong with some. */
  closeAll(fds: readonly number[]): void;
  /**
   * Has `fd` closed when this environment is torn down, which for a worker may be at any moment
   * (`worker.terminate()`). Whoever gives a guarded descriptor away, to be closed by other means than `close`
   * and `closeAll`, must call `unguard` first: its number can be anybody's later.
   */
  guard(fd: number): void;
  unguard(fd: number): void;
  /**
   * `open(2)` with O_CLOEXEC. Not `fs.openSync`: Node closes what a worker opened with that behind its back.
   */
  open(path: string, flags: number, mode: number): number;
  /** Takes the exclusive `flock` of an open file if it is free. It is given back when the file is closed. */
  tryLock(fd: number): boolean;
  /** `[dev, ino, dev, ino…]` of descriptors of any kind, O_PATH included. */
  identify(fds: readonly number[]): BigUint64Array;
  /** `<st_dev>/<st_ino>`, both decimal, of a descriptor of any kind, O_PATH included. */
  inode(fd: number): string;
  /** F_GETFL: access mode and file status flags. */
  statusFlags(fd: number): number;
  /** O_PATH, which `fs.constants` lacks. */
  readonly O_PATH: number;
  /** Too many descriptors in flight. `os.constants.errno` lacks it. */
  readonly ETOOMANYREFS: number;
  /** An error as a failed syscall throws it. `errno` is positive. */
  systemError(errno: number, syscall: string): NodeJS.ErrnoException;

  peerCredentials(fd: number): PeerCredentials;
  /**
   * A connected, non-blocking socket, guarded. `name` is a path, or an abstract name that starts with NUL.
   * EAGAIN: backlog full.
   */
  connectUnix(name: Uint8Array): number;
  /** A socket bound to that name, not yet listening, guarded. */
  bindUnix(name: Uint8Array): number;
  /** A descriptor that is good for nothing, to travel in place of one that cannot be sent. Guarded. */
  placeholder(): number;

  /** For this package's own tests. */
  readonly testing: {
    socketPair(): [number, number];
    pipe(): [number, number];
    setSendBuffer(fd: number, bytes: number): void;
    setSocketOption(fd: number, option: number, value: number): void;
    setDescriptorLimit(count: number): void;
    ioUring(): number;
    eventFd(): number;
    epoll(): number;
  };
}
