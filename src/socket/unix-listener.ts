import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { aBoolean, aFileDescriptor, anInteger, aString, type RulesFor, rule } from '../checks.js';
import { bindUnix, close, native, SocketHandle, systemError } from '../native/binding.js';
import { type SocketHandle as Handle, READABLE } from '../native/bridge-types.js';
import { hasMadeRoom } from '../native/room.js';
import { clearTimeout, delay, now, setTimeout } from '../timers.js';
import { addressBytes, isAbstract, withAddress } from './address.js';
import { Backoff } from './backoff.js';
import { manyWaitToBeClosed, tooManyWaitToBeClosed } from './close-queue.js';
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

/**
 * A connection that is refused has to be closed, with all that its peer has written already, and takes up room in the table until then. So
 * those that wait to be accepted wait for closes. If none has ended for so long, closes hang, and some are accepted as long as there is room.
 */
const CLOSES = { lookAgainMs: 2, longestMs: 50 };

/** A full table is reported once, and not again before it has had room for so long: a peer could fill a log otherwise. */
const QUIET_MS = 60_000;

/**
 * This package holds the lock of a directory for microseconds. After this time, whoever holds it uses it for something else, and the
 * listener goes on without it.
 */
const LOCK_RETRY = { firstMs: 1, longestMs: 20, totalMs: 1_000 };

/** Where and how a unix socket listens: at a path, or with a socket that is open already. */
export interface UnixListenOptions {
  /** A path, or an abstract name that starts with NUL (`\0`). An abstract name is used as it is, without padding. */
  readonly path?: string | undefined;
  /**
   * The number of a unix stream socket that listens, or is bound to an address and can listen. It takes the place of `path`. It may be
   * inherited: see `listenFds()`. It is made non-blocking, for all processes that have it. It belongs to the listener, unless listening
   * fails. `mode`, `uid` and `gid` cannot be given with it.
   */
  readonly fd?: number | undefined;
  /**
   * Connections that the kernel queues before they are accepted, at most `net.core.somaxconn` of the kernel. Default 511. With an `fd`
   * that listens, the default is to leave it as it is.
   */
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
  /**
   * Whether `close` removes the socket file, if it is still the same file. Set it to false to hand the listening socket over to another
   * process. Default true; with `fd` false.
   */
  readonly unlinkOnClose?: boolean | undefined;
}

/** The kernel takes the highest value for "leave it as it is". */
const anId = anInteger(0, 2 ** 32 - 2);

/** For the options that {@link UnixListenOptions} and the options of a gRPC server have in common. */
export const SOCKET_FILE_RULES: RulesFor<Omit<UnixListenOptions, 'path' | 'fd'>> = {
  backlog: anInteger(0, 2 ** 31 - 1),
  mode: rule('an integer from 0 to 0o7777', anInteger(0).hasType, anInteger(0, 0o7777).isInRange),
  uid: anId,
  gid: anId,
  unlinkOnClose: aBoolean,
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
   * or memory have run out, it waits first, and reports it once, and not again before a minute has passed without.
   */
  onError(error: NodeJS.ErrnoException): void;
}

/** A socket that listens, or is about to. */
interface Opened {
  readonly fd: number;
  /** The path or abstract name. */
  readonly address: string;
  readonly file: SocketFile | undefined;
  /** Undefined if the socket listens. */
  readonly backlog?: number | undefined;
}

/** A listening unix socket. */
export class UnixListener {
  /** The path or abstract name that was given, or that of the socket that was given. */
  readonly address: string;
  /** The number of the listening socket, which belongs to this object. It is meaningless after `close`. */
  readonly fd: number;
  readonly #events: UnixListenerEvents;
  readonly #handle: Handle;
  readonly #file: SocketFile | undefined;
  readonly #backoff = new Backoff(ACCEPT_RETRY);
  #retryTimer: NodeJS.Timeout | undefined;
  /** When descriptors or memory last ran out. */
  #exhaustedAt = Number.NEGATIVE_INFINITY;
  #hasRef = true;
  #closed = false;
  #isShared = false;

  /**
   * When the promise resolves, the socket listens. A socket file at that path on which no process listens is replaced. The socket refuses
   * connections until the file has its owner and mode. While another process holds the lock of the directory, this waits, for a second at
   * most.
   *
   * @throws EADDRINUSE where anything else is at that path; EINVAL where `fd` can not listen; ENOTSOCK, EAFNOSUPPORT or EPROTOTYPE
   * where it is not a unix stream socket; other errors of failed syscalls. `fd` is still the caller's then.
   */
  static async listen(options: UnixListenOptions, events: UnixListenerEvents): Promise<UnixListener> {
    const backoff = new Backoff(LOCK_RETRY);
    for (;;) {
      const listener = UnixListener.listenNow(options, events);
      if (listener !== undefined) return listener;
      const delayMs = backoff.next();
      if (delayMs === undefined) break;
      await delay(delayMs);
    }
    return UnixListener.#open(options, events, true) ?? assert.fail();
  }

  /** {@link listen}, but undefined where that would have to wait: another process holds the lock of the directory. */
  static listenNow(options: UnixListenOptions, events: UnixListenerEvents): UnixListener | undefined {
    return UnixListener.#open(options, events, false);
  }

  static #open(
    options: UnixListenOptions,
    events: UnixListenerEvents,
    withoutLock: boolean,
  ): UnixListener | undefined {
    if (options.fd !== undefined) return new UnixListener(adopt(options.fd, options), events);
    const opened = open(options, withoutLock);
    if (opened === undefined) return undefined;
    try {
      return new UnixListener(opened, events, options.unlinkOnClose);
    } catch (error) {
      opened.file?.unlink();
      close(opened.fd);
      throw error;
    }
  }

  /** Takes over the socket, unless this throws. */
  private constructor(
    { fd, address, file, backlog }: Opened,
    events: UnixListenerEvents,
    unlinkOnClose = true,
  ) {
    this.address = address;
    this.fd = fd;
    this.#events = events;
    this.#file = unlinkOnClose ? file : undefined;
    this.#handle = new SocketHandle(fd, () => this.#accept());
    try {
      if (backlog !== undefined) this.#handle.listen(backlog);
      this.#handle.watch(READABLE);
    } catch (error) {
      this.#handle.release();
      throw error;
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The socket was sent to another process: its file stays at `close` if another process has the socket then. */
  share(): void {
    this.#isShared = true;
  }

  /**
   * Stops listening, and removes the socket file unless another process has replaced it. Connections that were not accepted yet are
   * reset. Accepted ones stay open. Idempotent.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    if (this.#isShared) this.#handle.close();
    // Otherwise the file goes first: another process may replace a file whose socket does not listen.
    try {
      if (this.#isShared) this.#file?.unlinkUnlessServed();
      else this.#file?.unlink();
    } catch (error) {
      // The process may have lost the permission since it bound. The socket is closed all the same. Nobody listens on the file then.
      this.#events.onError(error as NodeJS.ErrnoException);
    } finally {
      this.#handle.close();
    }
  }

  /** Stops, and gives the socket back, which still listens. Its file stays. It belongs to the caller. */
  release(): number {
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    return this.#handle.release();
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
    if (manyWaitToBeClosed()) {
      this.#waitForCloses(native.queuedCloses(), now());
      return;
    }
    this.#acceptSome();
  }

  #acceptSome(): void {
    for (let accepted = 0; accepted < ACCEPTS_PER_TURN && !this.#closed; accepted++) {
      // Another process that has the listening socket may have made it blocking.
      if (accepted > 0 && !this.#handle.isReadable()) return;
      const result = this.#handle.accept();
      if (result >= 0) {
        this.#backoff.reset();
        this.#events.onConnection(result);
        continue;
      }
      if (result === -EAGAIN) return;
      if (result === -ECONNABORTED) continue;
      const error = systemError(-result, 'accept');
      if (hasMadeRoom(error)) continue;
      this.#pause();
      if (EXHAUSTED.has(-result) && this.#isKnown()) return;
      this.#events.onError(error);
      return;
    }
  }

  /** Whether it was reported that descriptors or memory have run out. */
  #isKnown(): boolean {
    const known = now() - this.#exhaustedAt < QUIET_MS;
    this.#exhaustedAt = now();
    return known;
  }

  /** So few were `queued`, last at the time `since`. */
  #waitForCloses(queued: number, since: number): void {
    this.#handle.watch(0);
    this.#resumeIn(CLOSES.lookAgainMs, () => {
      if (!manyWaitToBeClosed()) this.#resume();
      else if (native.queuedCloses() < queued) this.#waitForCloses(native.queuedCloses(), now());
      else if (now() - since < CLOSES.longestMs || tooManyWaitToBeClosed())
        this.#waitForCloses(queued, since);
      else this.#resume();
    });
  }

  #pause(): void {
    this.#handle.watch(0);
    this.#resumeIn(this.#backoff.next(), () => this.#resume());
  }

  #resumeIn(ms: number | undefined, run: () => void): void {
    this.#retryTimer = setTimeout(run, ms);
    if (!this.#hasRef) this.#retryTimer.unref();
  }

  #resume(): void {
    this.#handle.watch(READABLE);
    this.#acceptSome();
  }
}

/** Undefined if another process holds the lock of the directory. */
function open(options: UnixListenOptions, withoutLock: boolean): Opened | undefined {
  const { path = '', backlog = DEFAULT_BACKLOG } = options;
  if (isAbstract(path)) return { fd: bindAbstract(path), address: path, file: undefined, backlog };
  const listening = SocketFile.listen(path, { ...options, backlog }, withoutLock);
  return listening && { ...listening, address: path };
}

/** The caller's socket, as it is. */
function adopt(fd: number, { backlog, unlinkOnClose = false }: UnixListenOptions): Opened {
  const listens = native.isListening(fd);
  const address = native.socketName(fd, false).toString();
  return {
    fd,
    address,
    file: unlinkOnClose && !isAbstract(address) ? SocketFile.of(fd, address) : undefined,
    backlog: listens ? backlog : (backlog ?? DEFAULT_BACKLOG),
  };
}

function bindAbstract(name: string): number {
  try {
    return bindUnix(addressBytes(name));
  } catch (error) {
    throw withAddress(error, name);
  }
}
