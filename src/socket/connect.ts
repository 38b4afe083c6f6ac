import {
  aFileDescriptor,
  anAbortSignal,
  aString,
  check,
  checkOptions,
  nodeComplaint,
  type RulesFor,
  rule,
} from '../checks.js';
import { connectUnix, native } from '../native/binding.js';
import { delay } from '../timers.js';
import { addressBytes, withAddress } from './address.js';
import { Backoff } from './backoff.js';
import { adoptSocket, FdSocket, type FdSocketOptions, STREAM_RULES } from './fd-socket.js';

/**
 * A unix connect succeeds or fails at once. EAGAIN means that the backlog of the listener is full, and there is no event when it has room
 * again. A listener that accepts nothing for this long is considered stuck.
 */
const CONNECT_RETRY = { firstMs: 1, longestMs: 100, totalMs: 20_000 };

/** Options of {@link connect}. Those of {@link FdSocketOptions} apply to the new socket. */
export interface ConnectOptions extends Omit<FdSocketOptions, 'fd'> {
  /** When it aborts, the connect fails with the reason of the signal. Default: none. */
  readonly signal?: AbortSignal | undefined;
}

const CONNECT_RULES: RulesFor<ConnectOptions> = { signal: anAbortSignal, ...STREAM_RULES };

const anAddress = rule(
  'a path, an abstract name that starts with NUL, an object with one of them as its path, or an object with the number of a connected socket as its fd',
  (value) => aString.hasType(value),
);

/**
 * Connects to a unix socket, or adopts one that is connected. The result belongs to the caller, who destroys it.
 *
 * @param address a path, or an abstract name that starts with NUL (`\0`); or `{ fd }`, the number of a connected unix stream socket: an
 * inherited one, for example. It is made non-blocking, for all processes that have it, and belongs to the result, unless the promise
 * rejects
 * @param options of the socket. Default: none
 * @throws the error of a failed syscall (ENOENT, ECONNREFUSED, EACCES, ENAMETOOLONG; EAGAIN when the backlog of the listener stays full
 * for 20 seconds; with `fd`, EBADF, ENOTSOCK, EAFNOSUPPORT, EPROTOTYPE or ENOTCONN); ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE or ERR_INVALID_ARG_VALUE for wrong arguments. The promise rejects with them.
 */
export async function connect(
  address: string | { readonly path: string } | { readonly fd: number },
  options: ConnectOptions = {},
): Promise<FdSocket> {
  if (hasFd(address)) return adoptConnected(address.fd, options);
  const path = typeof address === 'object' ? address?.path : address;
  check(nodeComplaint, 'address', path, anAddress);
  checkOptions(nodeComplaint, options, CONNECT_RULES);
  const { signal, ...socketOptions } = options;
  const fd = await connectPatiently(path, signal);
  return adoptSocket({ fd, ...socketOptions });
}

function hasFd(address: object | string): address is { readonly fd: number } {
  return typeof address === 'object' && address !== null && 'fd' in address && !('path' in address);
}

function adoptConnected(fd: number, options: ConnectOptions): FdSocket {
  check(nodeComplaint, 'fd', fd, aFileDescriptor);
  checkOptions(nodeComplaint, options, CONNECT_RULES);
  const { signal, ...socketOptions } = options;
  signal?.throwIfAborted();
  // It throws ENOTCONN. Without this, a socket that listens would fail at the first read.
  native.socketName(fd, true);
  return new FdSocket({ fd, ...socketOptions });
}

async function connectPatiently(address: string, signal: AbortSignal | undefined): Promise<number> {
  const name = addressBytes(address);
  const backoff = new Backoff(CONNECT_RETRY);
  for (;;) {
    signal?.throwIfAborted();
    try {
      return connectUnix(name);
    } catch (error) {
      const delayMs = isBacklogFull(error) ? backoff.next() : undefined;
      if (delayMs === undefined) throw withAddress(error, address);
      await delay(delayMs, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
    }
  }
}

function isBacklogFull(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN';
}
