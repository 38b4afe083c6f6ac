import type { Socket } from 'node:net';
import { anAbortSignal, checkGrpcOptions, type RulesFor } from '../checks.js';
import { GrpcFdError } from '../errors.js';
import { aTimeout } from '../inbox/clock.js';
import { unreadSocket } from '../internals/unread-socket.js';
import { native } from '../native/binding.js';
import type { FileKind } from '../native/file-types.js';
import { Backoff } from '../socket/backoff.js';
import { delay } from '../timers.js';
import type { Ending } from './ending.js';
import { assertKind } from './file-kind.js';
import { discardFd, inThread } from './in-thread.js';
import { duplicateGuarded } from './open-in-thread.js';

/** Options of {@link ReceivedFile.connect}. */
export interface DialOptions {
  /** When it aborts, the promise rejects with `ERR_GRPCFD_ABORTED`, whose `cause` is the reason of the signal. Default: none. */
  readonly signal?: AbortSignal | undefined;
  /**
   * After so many milliseconds, the promise rejects with `ERR_GRPCFD_TIMEOUT`: the backlog of the listener stayed full, or the file system of
   * the socket file did not answer. Above 0 and at most 2^31-1. Default 20,000.
   */
  readonly timeoutMs?: number | undefined;
}

const RULES: RulesFor<DialOptions> = { signal: anAbortSignal, timeoutMs: aTimeout };

const TIMEOUT_MS = 20_000;

/** A unix connect succeeds or fails at once. There is no event when a full backlog has room again. */
const RETRY = { firstMs: 1, longestMs: 100, totalMs: Number.POSITIVE_INFINITY };

/** The socket file that is dialled. Its descriptor is only borrowed. */
export interface SocketFile {
  readonly fd: number;
  readonly url: string;
  readonly kind: FileKind;
  readonly pathOnly: boolean;
}

export async function dial(file: SocketFile, options: DialOptions, ending: Ending): Promise<Socket> {
  checkGrpcOptions(options, RULES);
  const { url } = file;
  assertDialable(file);
  const limits = { signal: options.signal, timeoutMs: options.timeoutMs ?? TIMEOUT_MS };
  return ending.run(`connecting to ${url}`, limits, async (end) => {
    const backoff = new Backoff(RETRY);
    for (;;) {
      try {
        return unreadSocket(await dialOnce(file.fd, end));
      } catch (error) {
        if (end.aborted || error instanceof GrpcFdError) throw error;
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw connectFailed(url, error);
      }
      await delay(backoff.next(), undefined, { signal: end }).catch(() => end.throwIfAborted());
    }
  });
}

function dialOnce(fd: number, signal: AbortSignal): Promise<number> {
  const own = duplicateGuarded(fd);
  return inThread<number>(
    {
      syscall: 'connect',
      fd: own,
      start: (onDone) => native.dialInThread(own, onDone),
      discard: discardFd,
    },
    signal,
  );
}

function assertDialable(file: SocketFile): void {
  assertKind(file, 'socket', 'connect()');
  if (file.pathOnly) return;
  throw new GrpcFdError(
    'ERR_GRPCFD_UNEXPECTED_KIND',
    `${file.url} is a socket that is open, and connect() needs a socket file, opened with O_PATH, as sendFilename() does: use toSocket()`,
  );
}

function connectFailed(url: string, cause: unknown): GrpcFdError {
  const { message, code } = cause as NodeJS.ErrnoException;
  const text = `${url} could not be connected to: ${message}${explain(code)}`;
  return new GrpcFdError('ERR_GRPCFD_CONNECT_FAILED', text, { cause });
}

/** What an error of the kernel does not say by itself. */
function explain(code: string | undefined): string {
  if (code === 'ECONNREFUSED') return ' (no process listens on this socket file any more)';
  if (code === 'EPROTOTYPE') return ' (it is not a stream socket)';
  if (code === 'ENOENT') return ' (there is no /proc)';
  return '';
}
