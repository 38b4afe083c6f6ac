import { constants } from 'node:os';
import {
  anAbortSignal,
  aString,
  check,
  checkOptions,
  nodeComplaint,
  type RulesFor,
  rule,
} from '../checks.js';
import { closeAll, duplicateAll, native, systemError } from '../native/binding.js';
import { packFds } from '../native/fd-lists.js';
import { delay } from '../timers.js';
import { addressBytes, withAddress } from './address.js';
import { Backoff } from './backoff.js';

const { EAGAIN } = constants.errno;

/** There is no event when a full queue has room again. A receiver that reads nothing for this long is considered stuck. */
const SEND_RETRY = { firstMs: 1, longestMs: 100, totalMs: 20_000 };

/** Options of {@link sendDatagram}. */
export interface DatagramOptions {
  /** When it aborts while the queue of the receiver is full, the datagram is not sent, and the promise rejects with the reason. Default: none. */
  readonly signal?: AbortSignal | undefined;
}

const RULES: RulesFor<DatagramOptions> = { signal: anAbortSignal };

const someBytes = rule(
  'a string or a Uint8Array',
  (value) => typeof value === 'string' || value instanceof Uint8Array,
);

/**
 * Sends one datagram with descriptors to a unix datagram socket: to the one that systemd names in `NOTIFY_SOCKET`, for example. There, a
 * name that begins with `@` is an abstract name: put `\0` in the place of the `@`.
 *
 * The descriptors stay the caller's, who may close them when this returns; the promise need not have resolved. While the queue of the
 * receiver is full, this waits.
 *
 * @param path a path, or an abstract name that starts with NUL (`\0`)
 * @param bytes the content. A string is sent as UTF-8
 * @param fds the numbers of open descriptors, at most 253. Default: none
 * @returns a promise that resolves when the kernel has queued the datagram at the receiver. It is not sent when the promise rejects
 * @throws the error of a failed syscall: ENOENT, ECONNREFUSED, EACCES, EPROTOTYPE (it is not a datagram socket), EMSGSIZE, EBADF, EINVAL
 * (too many descriptors), ENAMETOOLONG; EAGAIN when the queue stays full for 20 seconds; ERR_INVALID_ARG_TYPE or
 * ERR_INVALID_ARG_VALUE for wrong arguments. The promise rejects with them.
 */
export async function sendDatagram(
  path: string,
  bytes: string | Uint8Array,
  fds: readonly number[] = [],
  options: DatagramOptions = {},
): Promise<void> {
  check(nodeComplaint, 'path', path, aString);
  check(nodeComplaint, 'bytes', bytes, someBytes);
  checkOptions(nodeComplaint, options, RULES);
  const { signal } = options;
  signal?.throwIfAborted();
  const name = addressBytes(path);
  const content = Buffer.from(bytes);
  if (send(name, content, fds, path)) return;
  const duplicates = duplicateAll(fds);
  try {
    const backoff = new Backoff(SEND_RETRY);
    do {
      const delayMs = backoff.next();
      if (delayMs === undefined) throw withAddress(systemError(EAGAIN, 'sendmsg'), path);
      await delay(delayMs, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
    } while (!send(name, content, duplicates, path));
  } finally {
    closeAll(duplicates);
  }
}

/** False if the queue of the receiver is full. */
function send(name: Uint8Array, bytes: Uint8Array, fds: readonly number[], path: string): boolean {
  const result = native.sendDatagram(name, bytes, packFds(fds), fds.length);
  if (result < 0 && result !== -EAGAIN) throw withAddress(systemError(-result, 'sendmsg'), path);
  return result === 0;
}
