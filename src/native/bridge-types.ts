/** The objects of the addon that the event loop watches. */

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
 * `close`, all methods but `close`, `bytesRead` and `bytesForwarded` throw EBADF.
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
   * Node.
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
  /** The account on which the descriptors are closed that come on this connection: see `ClosingFunctions`. */
  account(): number;
  /** Keeps the process alive until it is closed. */
  ref(): void;
  bytesRead(): number;
  /** Sent by the addon and by {@link send}: what Node did not write to the socket itself. */
  bytesForwarded(): number;
  /** Those of Node that went into the pair, so far, and those that libuv still has. */
  bytesInPair(): number;
  /** Closes the connection at once. Idempotent. */
  close(): void;
}
