import {
  anAbortSignal,
  aString,
  check,
  checkOptions,
  nodeComplaint,
  type RulesFor,
  rule,
} from '../checks.js';
import { connectUnix } from '../native/binding.js';
import { delay } from '../timers.js';
import { addressBytes, withAddress } from './address.js';
import { Backoff } from './backoff.js';
import { adoptSocket, type FdSocket, type FdSocketOptions, STREAM_RULES } from './fd-socket.js';

/**
 * A unix connect is done at once or not at all: EAGAIN means that the listener's backlog is full, and nothing
 * tells when it no longer is. A listener that accepts nothing for this long is not going to.
 */
const CONNECT_RETRY = { firstMs: 1, longestMs: 100, totalMs: 20_000 };

export interface ConnectOptions extends Omit<FdSocketOptions, 'fd'> {
  /** Gives up when it aborts, with its reason. */
  readonly signal?: AbortSignal | undefined;
}

const CONNECT_RULES: RulesFor<ConnectOptions> = { signal: anAbortSignal, ...STREAM_RULES };

const anAddress = rule(
  'a path, an abstract name that starts with NUL, or an object with one of them as its path',
  (value) => aString.hasType(value),
);

/**
 * Connects to a path, or to `\0` and an abstract name. Rejects as a failed syscall does (ENOENT,
 * ECONNREFUSED, EACCES, ENAMETOOLONG; EAGAIN when the listener's backlog stays full for 20 seconds).
 */
export async function connect(
  address: string | { readonly path: string },
  options: ConnectOptions = {},
): Promise<FdSocket> {
  const path = typeof address === 'object' ? address?.path : address;
  check(nodeComplaint, 'address', path, anAddress);
  checkOptions(nodeComplaint, options, CONNECT_RULES);
  const { signal, ...socketOptions } = options;
  const fd = await connectPatiently(path, signal);
  return adoptSocket({ fd, ...socketOptions });
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
