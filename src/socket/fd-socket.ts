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
import type { PeerCredentials } from '../native/types.js';
import { nextTick } from '../timers.js';
import { Duplicates } from './duplicates.js';
import { UnixStream } from './unix-stream.js';

export interface FdSocketOptions {
  /** A connected unix stream socket. The new object owns it, unless its constructor throws. */
  readonly fd: number;
  /** Keep the writable side open when the peer has ended. Default: true. */
  readonly allowHalfOpen?: boolean | undefined;
  /** Bytes to buffer in each direction before back-pressure sets in. Default: 64 KiB. */
  readonly highWaterMark?: number | undefined;
}

export const STREAM_RULES: RulesFor<Omit<FdSocketOptions, 'fd'>> = {
  allowHalfOpen: aBoolean,
  highWaterMark: anInteger(0),
};

const SOCKET_RULES: RulesFor<FdSocketOptions> = { fd: aFileDescriptor, ...STREAM_RULES };

export interface FdSocketStats {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly receivedFds: number;
  /** Taken by the kernel. */
  readonly sentFds: number;
  /** Waiting for bytes to ride on. */
  readonly pendingFds: number;
}

/**
 * Of the event `'fds'`. Descriptors arrived: the listener owns them and must close them; without a listener
 * they are closed. With `truncated`, the kernel dropped some of those that were sent (MSG_CTRUNC), mostly
 * because the descriptor table of this process is full; `fds` may be empty then. They come no later than the
 * bytes that were written after them, and only while the stream is being read.
 */
export type FdsListener = (fds: number[], truncated: boolean) => void;

type AnyListener = Parameters<Duplex['on']>[1];

/**
 * What `UnixStream` reads at a time. Node's own default of 16 KiB (before version 22) would stop it after
 * each read.
 */
const DEFAULT_HIGH_WATER_MARK = 64 * 1024;

/** A stream over a connected unix socket that carries file descriptors with its bytes. */
export class FdSocket extends Duplex {
  readonly #stream: UnixStream;

  /**
   * Throws ENOTSOCK, EAFNOSUPPORT or EPROTOTYPE for what is not a unix stream socket; `fd` is then still the
   * caller's.
   */
  constructor(options: FdSocketOptions) {
    checkOptions(nodeComplaint, options, SOCKET_RULES);
    const { fd, allowHalfOpen = true, highWaterMark = DEFAULT_HIGH_WATER_MARK } = options;
    check(nodeComplaint, 'fd', fd, aFileDescriptor);
    super({ allowHalfOpen, highWaterMark });
    this.#stream = new UnixStream(fd, {
      onDescriptors: (fds, truncated) => {
        unguardAll(fds);
        if (!this.emit('fds', fds, truncated)) closeAll(fds);
      },
      onData: (chunk) => {
        if (!this.push(chunk)) this.#stream.readStop();
      },
      onEnd: () => this.push(null),
      onError: (error) => this.destroy(error),
    });
  }

  /** Who was at the other end when the two were connected. */
  get peer(): PeerCredentials {
    return this.#stream.peer;
  }

  /** {@link sendFds} of one. */
  sendFd(fd: number): Promise<void> {
    return this.sendFds([fd]);
  }

  /**
   * Has descriptors travel with the next bytes that are written, or with bytes that are still being written: up to 64 to a byte,
   * what is left with later ones. They are duplicated before this returns, and stay the caller's to close; when one of them cannot
   * be (EBADF, EMFILE), this throws, and none of them is sent.
   *
   * Resolves when the kernel took all of them. Rejects if it never will take one: the socket is closed or ended before enough
   * bytes are written after it, or the kernel refuses to send what it is; the others may have been sent. Ignoring the promise is
   * safe.
   */
  sendFds(fds: readonly number[]): Promise<void> {
    const duplicates = new Duplicates(fds);
    this.#stream.queueDescriptors(duplicates.fds, duplicates);
    return duplicates.sent;
  }

  /**
   * Writes `chunk` as `write` does, a string as UTF-8, and has `fds` travel with it or with bytes before it, as {@link sendFds} does. Mostly the
   * kernel takes both at once: no duplicate is made then. The descriptors are only borrowed until this returns. When one of them
   * cannot be duplicated (EBADF, EMFILE), this throws, and nothing is written. An empty chunk carries none: they travel with what
   * is written next.
   *
   * `callback` is called when the kernel took all bytes and descriptors, or with the reason why it never will.
   *
   * @returns false when the caller should wait for 'drain' before it writes more
   */
  writeWithFds(
    chunk: string | Uint8Array,
    fds: readonly number[],
    callback?: (error?: Error | null) => void,
  ): boolean {
    if (callback !== undefined) check(nodeComplaint, 'callback', callback, aFunction);
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    // Ended or destroyed, or no bytes at all: `write` says so, as it always does, and no descriptor goes.
    if (!this.writable || !(bytes instanceof Uint8Array)) return this.write(bytes, 'utf8', callback);
    // Nothing waits in this stream either: its machinery, which would call `_write` now, has nothing to add.
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

  stats(): FdSocketStats {
    const { bytesRead, bytesWritten, receivedFds, sentFds, pendingFds } = this.#stream;
    return { bytesRead, bytesWritten, receivedFds, sentFds, pendingFds };
  }

  /** Keeps the process alive while this is open (the default). */
  ref(): this {
    this.#stream.ref();
    return this;
  }

  unref(): this {
    this.#stream.unref();
    return this;
  }

  override on(event: 'fds', listener: FdsListener): this;
  override on(event: string | symbol, listener: AnyListener): this;
  override on(event: string | symbol, listener: AnyListener): this {
    return super.on(event, listener);
  }

  override once(event: 'fds', listener: FdsListener): this;
  override once(event: string | symbol, listener: AnyListener): this;
  override once(event: string | symbol, listener: AnyListener): this {
    return super.once(event, listener);
  }

  override _read(): void {
    this.#stream.readStart();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#stream.write([chunk], callback)) callback();
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    const buffers = chunks.map(({ chunk }) => chunk);
    if (this.#stream.write(buffers, callback)) callback();
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#stream.shutdown(callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stream.close();
    callback(error);
  }
}

/** An {@link FdSocket} that closes the descriptor if it cannot be made: `fd` is taken over in any case. */
export function adoptSocket(options: FdSocketOptions): FdSocket {
  try {
    return new FdSocket(options);
  } catch (error) {
    close(options.fd);
    throw error;
  }
}
