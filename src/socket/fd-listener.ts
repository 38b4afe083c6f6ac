import { EventEmitter } from 'node:events';
import { aFunction, check, checkOptions, nodeComplaint, type RulesFor } from '../checks.js';
import { close } from '../native/binding.js';
import { adoptSocket, type FdSocket, type FdSocketOptions, STREAM_RULES } from './fd-socket.js';
import { LISTEN_RULES, UnixListener, type UnixListenOptions } from './unix-listener.js';

export interface ListenOptions extends UnixListenOptions, Omit<FdSocketOptions, 'fd'> {}

const RULES: RulesFor<ListenOptions> = { ...LISTEN_RULES, ...STREAM_RULES };

export interface FdListenerEvents {
  /** A socket with nothing read from it yet. */
  connection: [socket: FdSocket];
  /**
   * A connection could not be accepted (EMFILE, say); it is tried again. Unheard, it becomes a process
   * warning.
   */
  error: [error: Error];
  close: [];
}

/** Listens on a unix socket, and makes an {@link FdSocket} of each connection. Made by {@link listen}. */
export class FdListener extends EventEmitter<FdListenerEvents> {
  readonly #listener: UnixListener;

  /** @internal */
  constructor(options: ListenOptions) {
    super();
    const { allowHalfOpen, highWaterMark } = options;
    this.#listener = UnixListener.listen(options, {
      onConnection: (fd) => {
        // Nobody would ever read from it, nor close it.
        if (this.listenerCount('connection') === 0) close(fd);
        else this.emit('connection', adoptSocket({ fd, allowHalfOpen, highWaterMark }));
      },
      onError: (error) => {
        // Not worth a crash, which is what an unheard 'error' is.
        if (this.listenerCount('error') === 0) process.emitWarning(error);
        else this.emit('error', error);
      },
    });
  }

  /** The path or abstract name, as it was given. */
  get address(): string {
    return this.#listener.address;
  }

  /**
   * Stops listening, and removes the socket file unless it is somebody else's by now. Connections stay open:
   * they are their holders' to close.
   */
  async close(): Promise<void> {
    if (this.#listener.closed) return;
    this.#listener.close();
    this.emit('close');
  }

  /** Keeps the process alive while this listens (the default). */
  ref(): this {
    this.#listener.ref();
    return this;
  }

  unref(): this {
    this.#listener.unref();
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Listens on a unix socket: see {@link UnixListenOptions}. A socket file that nobody listens on is replaced;
 * for anything else at that path this rejects with EADDRINUSE.
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
