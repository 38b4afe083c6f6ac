import { constants } from 'node:os';
import { anInteger, aString, type RulesFor, rule } from '../checks.js';
import { bindUnix, close, SocketHandle, systemError } from '../native/binding.js';
import { type SocketHandle as Handle, READABLE } from '../native/types.js';
import { clearTimeout, setTimeout } from '../timers.js';
import { addressBytes, isAbstract, withAddress } from './address.js';
import { Backoff } from './backoff.js';
import { SocketFile } from './socket-file.js';

const { EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM } = constants.errno;

/**
 * Connections accepted in one turn of the event loop, so that a storm of them does not starve those that are
 * there.
 */
const ACCEPTS_PER_TURN = 32;

/** What Node.js takes. The kernel cuts it to net.core.somaxconn. */
const DEFAULT_BACKLOG = 511;

/**
 * Nothing but time, or somebody closing descriptors, mends these. The connections wait in the backlog
 * meanwhile.
 */
const EXHAUSTED: ReadonlySet<number> = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM]);

/**
 * A listener that waits for descriptors would otherwise be called again at once, for ever: the connection it
 * cannot accept keeps the socket readable. There is no end to it, because there is nothing better to do.
 */
const ACCEPT_RETRY = { firstMs: 10, longestMs: 1_000, totalMs: Number.POSITIVE_INFINITY };

export interface UnixListenOptions {
  /** A path, or `\0` and an abstract name, which is taken for exactly what it is, without padding. */
  readonly path: string;
  /** Connections that may wait to be accepted. Default: 511. */
  readonly backlog?: number | undefined;
  /** Mode of the socket file; to connect takes the right to write. Default: 0o777 less the umask. */
  readonly mode?: number | undefined;
  /** Owner of the socket file. Default: this process's. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** The kernel takes the highest value for "leave it as it is". */
const anId = anInteger(0, 2 ** 32 - 2);

/** For the options that {@link UnixListenOptions} and the options of a gRPC server have in common. */
export const SOCKET_FILE_RULES: RulesFor<Omit<UnixListenOptions, 'path'>> = {
  backlog: anInteger(0, 2 ** 31 - 1),
  mode: rule('an integer from 0 to 0o7777', anInteger(0).hasType, anInteger(0, 0o7777).isInRange),
  uid: anId,
  gid: anId,
};

export const LISTEN_RULES: RulesFor<UnixListenOptions> = { path: aString, ...SOCKET_FILE_RULES };

export interface UnixListenerEvents {
  /** A connected socket, which is the callee's to close, or to give to a `UnixStream`. */
  onConnection(fd: number): void;
  /**
   * `accept` failed. The listener goes on by itself: where descriptors or memory ran out, it tries again
   * after a while, and reports only the first of such failures in a row. Or `close` could not remove the
   * socket file.
   */
  onError(error: NodeJS.ErrnoException): void;
}

/** A listening unix socket. */
export class UnixListener {
  /** The path or abstract name, as it was given. */
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
   * Listens from when this returns. A socket file that nobody listens on is replaced; anything else at that
   * path is EADDRINUSE. The file has its owner and mode from the moment it appears. Throws as a failed
   * syscall does.
   */
  static listen(options: UnixListenOptions, events: UnixListenerEvents): UnixListener {
    return new UnixListener(options, events);
  }

  private constructor(options: UnixListenOptions, events: UnixListenerEvents) {
    const { path, backlog = DEFAULT_BACKLOG } = options;
    this.address = path;
    this.#events = events;
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
   * Stops listening and removes the socket file, unless that is another's by now. Connections that were not
   * accepted yet are reset; those that were are not touched. Idempotent.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    // While the file is there its socket listens: whoever finds one that does not may take it away.
    try {
      this.#file?.unlink();
    } catch (error) {
      // The process may have given up the right since it bound. The socket is closed all the same, and the file then is a dead one.
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
