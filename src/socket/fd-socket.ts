import { Duplex } from 'node:stream';
import {
  aBoolean,
  aFileDescriptor,
  aFunction,
  anInteger,
  check,
  checkOptions,
  nodeComplaint,
  type RulesFor,
} from '../checks.js';
import { close, closeAll, unguardAll } from '../native/binding.js';
import type { PeerCredentials } from '../native/peer-types.js';
import { delay, nextTick, setImmediate } from '../timers.js';
import { Duplicates } from './duplicates.js';
import { UnixStream } from './unix-stream.js';

/** Options of `new FdSocket()`. */
export interface FdSocketOptions {
  /** The number of a connected unix stream socket. It belongs to the new FdSocket, unless the constructor throws. */
  readonly fd: number;
  /**
   * Whether the writable side stays open when the peer has ended. Default false, as in `node:net`: it ends in the turn of the event loop
   * after the event 'end', unless you end it before. With true, a socket that you do not end stays open after its peer has closed.
   */
  readonly allowHalfOpen?: boolean | undefined;
  /** Bytes to buffer in each direction before back-pressure begins. Default 64 KiB. */
  readonly highWaterMark?: number | undefined;
}

export const STREAM_RULES: RulesFor<Omit<FdSocketOptions, 'fd'>> = {
  allowHalfOpen: aBoolean,
  highWaterMark: anInteger(0),
};

const SOCKET_RULES: RulesFor<FdSocketOptions> = { fd: aFileDescriptor, ...STREAM_RULES };

/** Counters of an {@link FdSocket}. */
export interface FdSocketStats {
  /** Bytes received. */
  readonly bytesRead: number;
  /** Bytes that the kernel took. */
  readonly bytesWritten: number;
  /** Descriptors received. */
  readonly receivedFds: number;
  /** Descriptors that the kernel took. */
  readonly sentFds: number;
  /** Descriptors that wait now for bytes to travel with. */
  readonly pendingFds: number;
}

/**
 * A listener for the event `'fds'`: descriptors arrived. They belong to the listener, which closes them. Without a listener they are
 * closed at once. The event comes before the bytes that were written after the descriptors, and only while the stream is being read. If
 * the listener throws, these bytes still come.
 *
 * @param fds the numbers of the descriptors
 * @param truncated whether the kernel dropped some of those that were sent (MSG_CTRUNC), in most cases because the descriptor table of
 * this process was full. `fds` may be empty then
 */
export type FdsListener = (fds: number[], truncated: boolean) => void;

type AnyListener = Parameters<Duplex['on']>[1];

/** How long 'close' waits for the close. */
const CLOSE_PATIENCE_MS = 100;

/** As much as `UnixStream` reads at a time. The default of Node before version 22, 16 KiB, would stop it after each read. */
const DEFAULT_HIGH_WATER_MARK = 64 * 1024;

/**
 * A stream over a connected unix socket that carries file descriptors with its bytes. Besides the events of a Duplex it has `'fds'`: see
 * {@link FdsListener}.
 */
export class FdSocket extends Duplex {
  readonly #stream: UnixStream;
  /** It was sent to another process, and nothing is read here. */
  #lent = false;

  /**
   * Takes ownership of `options.fd`. When this throws, the descriptor is still the caller's.
   *
   * @throws ENOTSOCK, EAFNOSUPPORT or EPROTOTYPE where it is not a unix stream socket; ERR_INVALID_ARG_TYPE or ERR_OUT_OF_RANGE for
   * wrong options
   */
  constructor(options: FdSocketOptions) {
    checkOptions(nodeComplaint, options, SOCKET_RULES);
    const { fd, allowHalfOpen = false, highWaterMark = DEFAULT_HIGH_WATER_MARK } = options;
    check(nodeComplaint, 'fd', fd, aFileDescriptor);
    // An answer that is written when 'end' has been awaited comes a microtask too late for `allowHalfOpen` of Duplex.
    super({ highWaterMark });
    if (!allowHalfOpen) this.once('end', () => setImmediate(() => this.#endAfterPeer()));
    this.#stream = new UnixStream(fd, {
      onDescriptors: (fds, truncated) => {
        unguardAll(fds);
        if (!this.emit('fds', fds, truncated)) closeAll(fds);
      },
      onData: (chunk) => {
        if (!this.push(chunk)) this.#stream.readStop();
      },
      onEnd: () => {
        this.push(null);
        // Where nobody reads, 'end' would not be emitted, and the socket would stay open.
        this.read(0);
      },
      onError: (error) => this.destroy(error),
    });
  }

  /**
   * The process at the other end, at the time at which the two were connected. For an end of a socketpair, it is the process that made the
   * pair, whoever has the other end now.
   */
  get peer(): PeerCredentials {
    return this.#stream.peer;
  }

  /**
   * {@link sendFds} for one descriptor, which stays the caller's.
   *
   * @throws the errors of {@link sendFds}
   */
  sendFd(fd: number): Promise<void> {
    return this.sendFds([fd]);
  }

  /**
   * Sends descriptors with the next bytes that are written, or with bytes that are still being written: up to 64 with each byte. They are
   * duplicated before this returns, and stay the caller's.
   *
   * The promise resolves when the kernel has taken all of them. It rejects when the kernel never will take one of them: the socket was
   * closed or ended before enough bytes followed, or the kernel refuses to send a file of this kind. The others may have been sent then.
   * A rejection that nobody handles does not end the process.
   *
   * @throws EBADF, EMFILE where one of them cannot be duplicated; ERR_INVALID_ARG_TYPE. None of them is sent then.
   */
  sendFds(fds: readonly number[]): Promise<void> {
    const duplicates = new Duplicates(fds);
    this.#stream.queueDescriptors(duplicates.fds, duplicates);
    return duplicates.sent;
  }

  /**
   * Writes `chunk` like `write`, and sends `fds` with it or with bytes before it, like {@link sendFds}. In most cases the kernel takes both
   * at once, and no duplicate is made. The descriptors stay the caller's, who may close them when this returns.
   *
   * @param chunk bytes, or a string that is sent as UTF-8. With an empty one, the descriptors travel with the bytes written next
   * @param fds the numbers of open descriptors
   * @param callback called when the kernel has taken all bytes and descriptors, or with the reason why it never will
   * @returns false when the caller should wait for 'drain' before it writes more
   * @throws EBADF, EMFILE where a descriptor cannot be duplicated; ERR_INVALID_ARG_TYPE. Nothing is written then.
   */
  writeWithFds(
    chunk: string | Uint8Array,
    fds: readonly number[],
    callback?: (error?: Error | null) => void,
  ): boolean {
    if (callback !== undefined) check(nodeComplaint, 'callback', callback, aFunction);
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    // The stream has ended or was destroyed, or `chunk` has a wrong type. `write` reports that, and no descriptor is sent.
    if (!this.writable || !(bytes instanceof Uint8Array)) return this.write(bytes, 'utf8', callback);
    // Where nothing waits in this stream, `write` would only call `_write`.
    const isIdle = this.writableLength === 0 && this.writableCorked === 0;
    const taken = isIdle ? this.#stream.writeNow(bytes, fds) : 0;
    if (taken > 0 && taken === bytes.length) {
      if (callback) nextTick(callback, null);
      return true;
    }
    if (taken > 0) return this.write(bytes.subarray(taken), 'utf8', callback);
    const sent = this.sendFds(fds);
    if (!callback) return this.write(bytes);
    return this.write(bytes, (error) => {
      const done = (refused: Error | null) => nextTick(callback, error ?? refused);
      sent.then(() => done(null), done);
    });
  }

  /** The counters of the socket, as they are now. */
  stats(): FdSocketStats {
    const { bytesRead, bytesWritten, receivedFds, sentFds, pendingFds } = this.#stream;
    return { bytesRead, bytesWritten, receivedFds, sentFds, pendingFds };
  }

  /** Keeps the process alive while the socket is open, which is the default. */
  ref(): this {
    this.#stream.ref();
    return this;
  }

  /**
   * Lets the process exit while the socket is open. The `unref()` of an HTTP/2 session of Node.js does not reach a socket that is not a
   * `net.Socket`, as this one: call this, too, or make the session with `http2Client()` of grpcfd.
   */
  unref(): this {
    this.#stream.unref();
    return this;
  }

  /** Adds a listener for the descriptors that arrive. */
  override on(event: 'fds', listener: FdsListener): this;
  /** Adds a listener for any other event of a Duplex. */
  override on(event: string | symbol, listener: AnyListener): this;
  override on(event: string | symbol, listener: AnyListener): this {
    return super.on(event, listener);
  }

  /** Adds a listener for the descriptors that arrive next. */
  override once(event: 'fds', listener: FdsListener): this;
  /** Adds a listener for any other event of a Duplex, once. */
  override once(event: string | symbol, listener: AnyListener): this;
  override once(event: string | symbol, listener: AnyListener): this {
    return super.once(event, listener);
  }

  /**
   * Gives the descriptor back. It belongs to the caller from then on, close-on-exec and non-blocking. This object is destroyed, without
   * closing the socket: 'close' follows. All that was received before has been delivered. All that comes later waits in the socket.
   *
   * It is refused while something would be lost. So read everything first (`read()` gives what is left in one piece), wait for the
   * callbacks of writes and the promises of `sendFds`, and call this outside of a listener for `'fds'`.
   *
   * @returns the number of the descriptor
   * @throws ERR_INVALID_STATE, and nothing changes: bytes were received that nobody has read; `setEncoding` was called, which may hold
   * a part of a character; bytes or descriptors have not been sent yet; a listener for `'fds'` runs; this was destroyed or released
   */
  release(): number {
    const reason = this.#whyNotReleasable();
    if (reason !== undefined) {
      const error = new Error(`the socket cannot be released: ${reason}`);
      throw Object.assign(error, { code: 'ERR_INVALID_STATE' });
    }
    const fd = this.#stream.release();
    this.destroy();
    return fd;
  }

  #whyNotReleasable(): string | undefined {
    if (this.destroyed) return 'it was destroyed or released';
    if (this.readableLength > 0) return `${this.readableLength} bytes were received that nobody has read`;
    if (this.readableEncoding !== null) return 'setEncoding() may hold a part of a character';
    if (this.writableLength > 0 || (this.writableEnded && !this.writableFinished)) {
      return 'not everything that was written has been sent';
    }
    return this.#stream.whyNotReleasable;
  }

  /** @internal The number of the descriptor, which stays this object's. Meaningless where {@link whyNotSendable} tells a reason. */
  get descriptor(): number {
    return this.#stream.fd;
  }

  /** @internal What would be lost if another process went on with the connection; undefined if nothing would be. */
  get whyNotSendable(): string | undefined {
    return this.#whyNotReleasable();
  }

  /** @internal Nothing is read any more, unless the user calls resume(). */
  stopReading(): void {
    this.pause();
    this.#stream.readStop();
    this.#lent = true;
  }

  /** @internal */
  override resume(): this {
    if (this.#lent && !this.destroyed) this.#stream.readStart();
    this.#lent = false;
    return super.resume();
  }

  /** @internal */
  override _read(): void {
    if (!this.#lent) this.#stream.readStart();
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#stream.write([chunk], callback)) callback();
  }

  /** @internal */
  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    const buffers = chunks.map(({ chunk }) => chunk);
    if (this.#stream.write(buffers, callback)) callback();
  }

  /** @internal */
  override _final(callback: (error?: Error | null) => void): void {
    this.#stream.shutdown((error) => {
      callback(error);
      if (!error && !this.destroyed) this.#stream.watchEnd();
    });
  }

  #endAfterPeer(): void {
    if (!this.writableEnded && !this.destroyed) this.end();
  }

  /** @internal */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const pending = this.#stream.close();
    if (pending === undefined) callback(error);
    // 'close' comes when the peer has met the end, but nobody waits for ever for what the peer has sent.
    else void Promise.race([pending, delay(CLOSE_PATIENCE_MS)]).then(() => callback(error));
  }
}

/** Makes an {@link FdSocket}. The descriptor is taken over in any case: when this throws, it has been closed. */
export function adoptSocket(options: FdSocketOptions): FdSocket {
  try {
    return new FdSocket(options);
  } catch (error) {
    close(options.fd);
    throw error;
  }
}
