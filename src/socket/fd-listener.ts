import { EventEmitter } from 'node:events';
import { aFunction, check, checkOptions, nodeComplaint, type RulesFor } from '../checks.js';
import { close } from '../native/binding.js';
import { adoptSocket, type FdSocket, type FdSocketOptions, STREAM_RULES } from './fd-socket.js';
import { LISTEN_RULES, UnixListener, type UnixListenOptions } from './unix-listener.js';

/** Options of {@link listen}. Those of {@link FdSocketOptions} apply to each connection. */
export interface ListenOptions extends UnixListenOptions, Omit<FdSocketOptions, 'fd'> {}

const RULES: RulesFor<ListenOptions> = { ...LISTEN_RULES, ...STREAM_RULES };

/** The events of an {@link FdListener}, with the arguments of their listeners. */
export interface FdListenerEvents {
  /** A connection was accepted. Nothing has been read from the socket, which belongs to the listener. Without a listener it is closed. */
  connection: [socket: FdSocket];
  /**
   * A connection could not be accepted (EMFILE, for example), and is tried again later; or the socket file could not be removed. Without
   * a listener, the error becomes a process warning.
   */
  error: [error: Error];
  /** The listener was closed. */
  close: [];
}

/** Listens on a unix socket, and makes an {@link FdSocket} of each connection. It is made by {@link listen}. */
export class FdListener extends EventEmitter<FdListenerEvents> {
  readonly #listener: UnixListener;

  /** @internal */
  constructor(options: ListenOptions) {
    super();
    const { allowHalfOpen, highWaterMark } = options;
    this.#listener = UnixListener.listen(options, {
      onConnection: (fd) => {
        // Without a listener, nobody would read from the socket or close it.
        if (this.listenerCount('connection') === 0) close(fd);
        else this.emit('connection', adoptSocket({ fd, allowHalfOpen, highWaterMark }));
      },
      onError: (error) => {
        // Without a listener, 'error' would end the process.
        if (this.listenerCount('error') === 0) process.emitWarning(error);
        else this.emit('error', error);
      },
    });
  }

  /** The path or abstract name that was given. */
  get address(): string {
    return this.#listener.address;
  }

  /**
   * Stops listening, and removes the socket file unless another process has replaced it. Connections that were accepted stay open. Those
   * that wait to be accepted are reset. Idempotent.
   */
  async close(): Promise<void> {
    if (this.#listener.closed) return;
    this.#listener.close();
    this.emit('close');
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
 * closes it.
 *
 * @param options where to listen, and how
 * @param onConnection a listener for the event `'connection'`. Default: none
 * @throws EADDRINUSE where anything else is at that path; other errors of failed syscalls (EACCES, ENOENT, ENAMETOOLONG);
 * ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE or ERR_INVALID_ARG_VALUE for wrong options. The promise rejects with them.
 */
export async function listen(
  options: ListenOptions,
  onConnection?: (socket: FdSocket) => void,
): Promise<FdListener> {
  checkOptions(nodeComplaint, options, RULES);
  check(nodeComplaint, 'path', options.path, LISTEN_RULES.path);
  if (onConnection !== undefined) check(nodeComplaint, 'onConnection', onConnection, aFunction);
  const listener = new FdListener(options);
  if (onConnection !== undefined) listener.on('connection', onConnection);
  return listener;
}
