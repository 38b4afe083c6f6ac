import { EventEmitter } from 'node:events';
import { aFunction, aString, check, checkOptions, nodeComplaint, type RulesFor, rule } from '../checks.js';
import { close } from '../native/binding.js';
import { adoptSocket, type FdSocket, type FdSocketOptions, STREAM_RULES } from './fd-socket.js';
import { LISTEN_RULES, UnixListener, type UnixListenOptions } from './unix-listener.js';

/** Options of {@link listen}. Those of {@link FdSocketOptions} apply to each connection. */
export interface ListenOptions extends UnixListenOptions, Omit<FdSocketOptions, 'fd'> {}

const RULES: RulesFor<ListenOptions> = { ...LISTEN_RULES, ...STREAM_RULES };

const A_PATH_OR_FD = rule('a string, or fd a number', aString.hasType);

/** A socket that is bound already has its file. */
const NOT_WITH_FD = ['path', 'mode', 'uid', 'gid'] as const;

const ABSENT_WITH_FD = rule('left out where fd is given', (value) => value === undefined);

/** The events of an {@link FdListener}, with the arguments of their listeners. */
export interface FdListenerEvents {
  /** A connection was accepted. Nothing has been read from the socket, which belongs to the listener. Without a listener it is closed. */
  connection: [socket: FdSocket];
  /**
   * A connection could not be accepted (EMFILE, for example), and is tried again later; one that was accepted could not be used, and was
   * closed; or the socket file could not be removed. Without a listener, the error becomes a process warning.
   */
  error: [error: Error];
  /** The listener was closed. */
  close: [];
}

/** Listens on a unix socket, and makes an {@link FdSocket} of each connection. It is made by {@link listen}. */
export class FdListener extends EventEmitter<FdListenerEvents> {
  #listener!: UnixListener;

  /** @internal */
  private constructor() {
    super();
  }

  /** @internal */
  static async listen(
    options: ListenOptions,
    onConnection: ((socket: FdSocket) => void) | undefined,
  ): Promise<FdListener> {
    const { allowHalfOpen, highWaterMark } = options;
    const listener = new FdListener();
    if (onConnection !== undefined) listener.on('connection', onConnection);
    const tell = (error: Error) => {
      // Without a listener, 'error' would end the process.
      if (listener.listenerCount('error') === 0) process.emitWarning(error);
      else listener.emit('error', error);
    };
    listener.#listener = await UnixListener.listen(options, {
      onConnection: (fd) => {
        // Without a listener, nobody would read from the socket or close it.
        if (listener.listenerCount('connection') === 0) return close(fd);
        let socket: FdSocket;
        try {
          socket = adoptSocket({ fd, allowHalfOpen, highWaterMark });
        } catch (error) {
          return tell(error as Error);
        }
        listener.emit('connection', socket);
      },
      onError: tell,
    });
    return listener;
  }

  /** The path or abstract name that was given, or that of the socket that was given. */
  get address(): string {
    return this.#listener.address;
  }

  /** The number of the listening socket, to send it to a successor. It belongs to the listener. -1 after `close`. */
  get fd(): number {
    return this.#listener.closed ? -1 : this.#listener.fd;
  }

  /** @internal It was sent to another process. */
  share(): void {
    this.#listener.share();
  }

  /**
   * Stops listening in this process, and removes the socket file unless another process has replaced it, or `unlinkOnClose` is false. After
   * `sendFile(listener)`, the file also stays if another process has the socket.
   * Connections that were accepted stay open. Those that wait to be accepted are reset, unless another process has the listening socket,
   * too. Idempotent.
   */
  async close(): Promise<void> {
    if (this.#listener.closed) return;
    this.#listener.close();
    this.emit('close');
  }

  /**
   * Gives the listening socket back, which goes on listening. This accepts nothing any more, and emits `'close'`. The socket file stays.
   * The descriptor belongs to the caller, who can give it to `bindAsync('fd:N')`, to `listen({ fd })` or to a child process.
   *
   * @returns the number of the descriptor
   * @throws ERR_INVALID_STATE if this was closed or released
   */
  release(): number {
    if (this.#listener.closed) {
      throw Object.assign(new Error('the listener was closed or released'), { code: 'ERR_INVALID_STATE' });
    }
    const fd = this.#listener.release();
    this.emit('close');
    return fd;
  }

  /** Keeps the process alive while this listens, which is the default. */
  ref(): this {
    this.#listener.ref();
    return this;
  }

  /** Lets the process exit while this listens. */
  unref(): this {
    this.#listener.unref();
    return this;
  }

  /** {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Listens on a unix socket. A socket file at that path on which no process listens is replaced. The listener belongs to the caller, who
 * closes it. Clients are refused until the socket file has its mode and owner.
 *
 * @param options where to listen, and how. `path` or `fd` has to be given, and not both
 * @param onConnection a listener for the event `'connection'`. Default: none
 * @throws EADDRINUSE where anything else is at that path; EINVAL where `fd` is not bound to an address, or is connected; ENOTSOCK,
 * EAFNOSUPPORT or EPROTOTYPE where `fd` is not a unix stream socket; other errors of failed syscalls (EACCES, ENOENT, ENAMETOOLONG; EPERM
 * where the mode or the owner cannot be set, with the right that is missing in its text); ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE or
 * ERR_INVALID_ARG_VALUE for wrong options. The promise rejects with them, and `fd` is still the caller's then.
 */
export async function listen(
  options: ListenOptions,
  onConnection?: (socket: FdSocket) => void,
): Promise<FdListener> {
  checkOptions(nodeComplaint, options, RULES);
  if (options.fd === undefined) check(nodeComplaint, 'path', options.path, A_PATH_OR_FD);
  else for (const name of NOT_WITH_FD) check(nodeComplaint, name, options[name], ABSENT_WITH_FD);
  if (onConnection !== undefined) check(nodeComplaint, 'onConnection', onConnection, aFunction);
  return FdListener.listen(options, onConnection);
}
