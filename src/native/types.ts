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

/**
 * Where {@link SocketHandle.receive} leaves the descriptors of a message, owned by the caller and guarded: how many, 1 if some are
 * missing, and then their numbers. `ARRIVED.LENGTH` elements have room for any message. Missing (MSG_CTRUNC): the kernel had
 * descriptors to deliver and could not, mostly because the descriptor table was full.
 */
export const ARRIVED = { COUNT: 0, TRUNCATED: 1, FIRST: 2, LENGTH: 2 + 253 } as const;

/** For {@link SocketHandle.watch}, the values of libuv's UV_READABLE and UV_WRITABLE. */
export const READABLE = 1;
export const WRITABLE = 2;

/** For `addSeals` and `getSeals`, the same on every architecture. */
export const F_SEAL_SEAL = 0x1;
export const F_SEAL_SHRINK = 0x2;
export const F_SEAL_GROW = 0x4;
export const F_SEAL_WRITE = 0x8;

/** For `memFd`. */
export const MFD_ALLOW_SEALING = 0x2;
/** Since Linux 6.3; older kernels answer EINVAL. */
export const MFD_NOEXEC_SEAL = 0x8;

/** What `fileSystemType` says of memory in pages of the usual size: a memfd, a file on tmpfs. */
export const TMPFS_MAGIC = 0x01021994;

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
  /**
   * One `recvmsg` into `buffer` from `offset` on: the number of bytes, 0 at the end of the stream. In any case, `arrived`
   * then says what came with them: see {@link ARRIVED}.
   */
  receive(buffer: Uint8Array, offset: number, arrived: Int32Array): number;
  /**
   * One `sendmsg` of at most `limit` bytes of `buffers`, and the first `count` of `descriptors`, which are borrowed. After
   * a negative result none of the descriptors has gone, after any other all of them have.
   */
  send(buffers: readonly Uint8Array[], limit: number, descriptors: Int32Array, count: number): number;
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

/** Who forwards what Node wrote to its end of a {@link Bridge}. */
export const OUTGOING = {
  /** The addon, as it comes. */
  NATIVE: 0,
  /** JavaScript, which takes it with `take` and sends it with `send`, so that descriptors can ride on it. */
  SCRIPT: 1,
  /** Nobody for now: it waits in the pair. */
  HELD: 2,
  /** It is thrown away, because nothing can be sent any more. */
  DISCARD: 3,
} as const;

/** What `onEvent` of a {@link Bridge} is told. */
export const BRIDGE_EVENT = {
  /** Descriptors are in `arrived`, before Node gets the bytes that they came with. Must not run code of the user's. */
  ARRIVED: 0,
  /** With OUTGOING.SCRIPT: there may be something to take, or the kernel takes bytes again. */
  OUTGOING: 1,
  /**
   * The addon could not send; the value is the errno. The bytes are kept, for `take`. With OUTGOING.DISCARD, once: Node has written
   * something since.
   */
  SEND_FAILED: 2,
  /** Node has ended its side, and the kernel has all that it wrote. */
  FLUSHED: 3,
  /** The peer has closed the connection while nothing was read from it, and nothing waits to be sent. Told once. */
  HUNG_UP: 4,
  /** After `readToEnd`: nothing more has come from the peer for now. */
  DRAINED: 5,
  /** Node has not been reading what came for a quarter of a second, though no write of its own was under way. */
  STALLED: 6,
} as const;

/**
 * Lets a stock net.Socket of Node, over one end of a socketpair, use a connection that carries descriptors: see native/bridge.h.
 * Once it is closed, all but `close`, `bytesRead` and `bytesWritten` throw EBADF.
 */
export interface Bridge {
  /** One of {@link OUTGOING}. It begins with NATIVE. */
  setOutgoing(outgoing: number): void;
  /** The kernel takes no more: OUTGOING follows when it does. */
  setBlocked(): void;
  /** Forwards now what there is. */
  forward(): void;
  /** Takes what Node wrote: the number of bytes, 0 at its end, or -EAGAIN. */
  take(buffer: Uint8Array): number;
  /** As {@link SocketHandle.send}. */
  send(buffers: readonly Uint8Array[], limit: number, descriptors: Int32Array, count: number): number;
  /** As {@link SocketHandle.probe}. */
  probe(fd: number): number;
  /**
   * Sends `bytes`, 64 KiB at the most, behind all that Node has written. False, and nothing happens, where that does not end with
   * a whole write of Node's, or Node has written nothing yet.
   */
  insert(bytes: Uint8Array): boolean;
  /** All that Node wrote has been sent, and no more will come. FLUSHED follows at once. */
  endWriting(): void;
  /** DRAINED follows when all that came has been handed to Node, unless the connection ends with it. */
  readToEnd(): void;
  /**
   * Node is about to close its handle, which must not be touched any more. `held`: something that was taken has not been sent. 0: all
   * that Node wrote has been sent. 1: not all, and Node has ended its side. 2: not all, and it has not.
   */
  detach(held: boolean): 0 | 1 | 2;
  /**
   * `<st_dev>/<st_ino>` of the socket at the other end. Undefined where the kernel does not tell: without its module unix_diag, in
   * another network namespace, or once that end is closed.
   */
  peerInode(): string | undefined;
  /** Memory in the kernel that is taken up by what the peer has not read, in bytes. */
  unread(): number;
  /** Keeps the process alive until it is closed. */
  ref(): void;
  bytesRead(): number;
  bytesWritten(): number;
  /** Closes the connection at once. Idempotent. */
  close(): void;
}

export interface NativeBinding {
  /**
   * `fds` are the connection, the far end of the pair, and the near end, which is Node's already. Takes over and unguards the
   * first two, unless this throws. `arrived` is where descriptors are left, as by {@link SocketHandle.receive}.
   */
  readonly Bridge: new (
    fds: Int32Array,
    arrived: Int32Array,
    onEvent: (event: number, value: number) => void,
  ) => Bridge;

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
  /** Guarded duplicates of all, or, when this throws, of none. */
  duplicateAll(fds: readonly number[]): number[];
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
  unguardAll(fds: readonly number[]): void;
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

  /** Two connected unix stream sockets, non-blocking, guarded. */
  socketPair(): [number, number];
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
  /** Whether a descriptor is one that {@link placeholder} made, here or in another process. */
  isPlaceholder(fd: number): boolean;

  /** A memory file of that size, close-on-exec, guarded. */
  memFd(name: string, size: number, flags: number): number;
  addSeals(fd: number, seals: number): void;
  /** EINVAL: a file that has no seals. */
  getSeals(fd: number): number;
  /** `f_type` of `fstatfs`. */
  fileSystemType(fd: number): number;
  /**
   * The first `length` bytes of a file, in place: shared with everybody who has it, or with `writable` false private, so that
   * what is stored there by mistake stays there. `fd` is only borrowed. A file that gets shorter kills the process when the rest is
   * touched. Lasts until `unmap`, or until the buffer is collected.
   */
  map(fd: number, length: number, writable: boolean): ArrayBuffer;
  /** Gives the memory back at once, and empties the buffer of `map`. Idempotent. */
  unmap(buffer: ArrayBuffer): void;
  /**
   * Has a thread of the pool fill in the page table for `buffer`, so that no access has to wait for that. Calls on the same
   * buffer share the work.
   */
  populate(buffer: ArrayBuffer): Promise<void>;

  /** For this package's own tests. */
  readonly testing: {
    pipe(): [number, number];
    setSendBuffer(fd: number, bytes: number): void;
    setSocketOption(fd: number, option: number, value: number): void;
    setDescriptorLimit(count: number): void;
    ioUring(): number;
    eventFd(): number;
    epoll(): number;
  };
}
