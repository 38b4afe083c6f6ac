import { constants } from 'node:os';
import { aFileDescriptor, anInteger, aString, type RulesFor, rule } from '../checks.js';
import { bindUnix, close, native, SocketHandle, systemError } from '../native/binding.js';
import { type SocketHandle as Handle, READABLE } from '../native/types.js';
import { clearTimeout, setTimeout } from '../timers.js';
import { addressBytes, isAbstract, withAddress } from './address.js';
import { Backoff } from './backoff.js';
import { SocketFile } from './socket-file.js';

const { EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM } = constants.errno;

/** Connections accepted in one turn of the event loop. The limit leaves time for connections that exist, however many are new. */
const ACCEPTS_PER_TURN = 32;

/** The default of Node.js. The kernel lowers it to net.core.somaxconn. */
const DEFAULT_BACKLOG = 511;

/** These errors last until descriptors are closed or memory is freed. The connections wait in the backlog meanwhile. */
const EXHAUSTED: ReadonlySet<number> = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM]);

/**
 * A connection that cannot be accepted keeps the socket readable, so without a delay the listener would be called again at once. It
 * tries without end: there is no better way to go on.
 */
const ACCEPT_RETRY = { firstMs: 10, longestMs: 1_000, totalMs: Number.POSITIVE_INFINITY };

/** Where and how a unix socket listens. */
export interface UnixListenOptions {
  /** A path, or an abstract name that starts with NUL (`\0`). An abstract name is used as it is, without padding. */
  readonly path?: string | undefined;
  /**
   * The number of a unix stream socket that listens. It takes the place of `path`. It belongs to the listener, unless listening fails, and
   * its file stays.
   */
  readonly fd?: number | undefined;
  /** Connections that the kernel queues before they are accepted, at most `net.core.somaxconn` of the kernel. Default 511. */
  readonly backlog?: number | undefined;
  /**
   * Permissions of the socket file, from 0 to 0o7777. A client needs the right to write to connect. Default: 0o777 without the bits of
   * the umask.
   */
  readonly mode?: number | undefined;
  /** User id of the socket file's owner. Default: that of the process. */
  readonly uid?: number | undefined;
  /** Group id of the socket file. Default: that of the process. */
  readonly gid?: number | undefined;
}

/** The kernel takes the highest value for "leave it as it is". */
const anId = anInteger(0, 2 ** 32 - 2);

/** For the options that {@link UnixListenOptions} and the options of a gRPC server have in common. */
export const SOCKET_FILE_RULES: RulesFor<Omit<UnixListenOptions, 'path' | 'fd'>> = {
  backlog: anInteger(0, 2 ** 31 - 1),
  mode: rule('an integer from 0 to 0o7777', anInteger(0).hasType, anInteger(0, 0o7777).isInRange),
  uid: anId,
  gid: anId,
};

export const LISTEN_RULES: RulesFor<UnixListenOptions> = {
  path: aString,
  fd: aFileDescriptor,
  ...SOCKET_FILE_RULES,
};

export interface UnixListenerEvents {
  /** A connected socket. It belongs to the callee, which closes it or gives it to a `UnixStream`. */
  onConnection(fd: number): void;
  /**
   * `accept` failed, or `close` could not remove the socket file. After a failed `accept` the listener tries again. Where descriptors
   * or memory have run out, it waits first, and reports only the first of several failures in a row.
   */
  onError(error: NodeJS.ErrnoException): void;
}

/** A listening unix socket. */
export class UnixListener {
  /** The path or abstract name that was given. */
  readonly address: string;
  readonly #events: UnixListenerEvents;
  readonly #handle: Handle;
  readonly #file: SocketFile | undefined;
  readonly #backoff = new Backoff(ACCEPT_RETRY);
  #retryTimer: NodeJS.Timeout | undefined;
  #exhausted = false;
  #hasRef = true;
  #closed = false;

  /**
   * When this returns, the socket listens. A socket file at that path on which no process listens is replaced. The file has its owner and
   * mode from the moment at which it appears.
   *
   * @throws EADDRINUSE where anything else is at that path; other errors of failed syscalls
   */
  static listen(options: UnixListenOptions, events: UnixListenerEvents): UnixListener {
    return new UnixListener(options, events);
  }

  private constructor(options: UnixListenOptions, events: UnixListenerEvents) {
    this.#events = events;
    if (options.fd !== undefined) {
      this.address = native.socketName(options.fd, false).toString();
      this.#handle = new SocketHandle(options.fd, () => this.#accept());
      if (options.backlog !== undefined) this.#handle.listen(options.backlog);
      this.#handle.watch(READABLE);
      return;
    }
    const { path = '', backlog = DEFAULT_BACKLOG } = options;
    this.address = path;
    this.#file = isAbstract(path) ? undefined : new SocketFile(path);
    const fd = this.#file ? this.#file.bind(options) : bindAbstract(path);
    try {
      this.#handle = new SocketHandle(fd, () => this.#accept());
    } catch (error) {
      close(fd);
      this.#file?.discard();
      throw error;
    }
    try {
      this.#handle.listen(backlog);
      this.#file?.publish();
      this.#handle.watch(READABLE);
    } catch (error) {
      this.#handle.close();
      this.#file?.discard();
      throw error;
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Stops listening, and removes the socket file unless another process has replaced it. Connections that were not accepted yet are
   * reset. Accepted ones stay open. Idempotent.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    // The file goes first: another process may replace a file whose socket does not listen.
    try {
      this.#file?.unlink();
    } catch (error) {
      // The process may have lost the permission since it bound. The socket is closed all the same. Nobody listens on the file then.
      this.#events.onError(error as NodeJS.ErrnoException);
    } finally {
      this.#handle.close();
    }
  }

  ref(): void {
    this.#hasRef = true;
    this.#retryTimer?.ref();
    if (!this.#closed) this.#handle.ref();
  }

  unref(): void {
    this.#hasRef = false;
    this.#retryTimer?.unref();
    if (!this.#closed) this.#handle.unref();
  }

  hasRef(): boolean {
    return this.#hasRef;
  }

  #accept(): void {
    for (let accepted = 0; accepted < ACCEPTS_PER_TURN && !this.#closed; accepted++) {
      const result = this.#handle.accept();
      if (result >= 0) {
        this.#backoff.reset();
        this.#exhausted = false;
        this.#events.onConnection(result);
        continue;
      }
      if (result === -EAGAIN) return;
      if (result === -ECONNABORTED) continue;
      this.#pause();
      if (EXHAUSTED.has(-result) && this.#exhausted) return;
      this.#exhausted = EXHAUSTED.has(-result);
      this.#events.onError(systemError(-result, 'accept'));
      return;
    }
  }

  #pause(): void {
    this.#handle.watch(0);
    this.#retryTimer = setTimeout(() => this.#resume(), this.#backoff.next());
    if (!this.#hasRef) this.#retryTimer.unref();
  }

  #resume(): void {
    this.#handle.watch(READABLE);
    this.#accept();
  }
}

function bindAbstract(name: string): number {
  try {
    return bindUnix(addressBytes(name));
  } catch (error) {
    throw withAddress(error, name);
  }
}
