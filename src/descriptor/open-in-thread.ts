import { anAbortSignal, anObject, aString, checkGrpcOptions, type RulesFor, rule } from '../checks.js';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import { checkExpectation, type Expectation } from './file-kind.js';
import { checkPath, openFailed } from './open-file.js';
import { openFlags, toOpenFlags } from './open-flags.js';
import { ReceivedFile } from './received-file.js';

/** An open directory: a `ReceivedFile`, a `FileHandle`. It stays the caller's, and can be closed when `openFile()` has returned. */
export interface Directory {
  /** The number of its descriptor. */
  readonly fd: number;
}

/** Options of {@link openFile}. */
export interface OpenFileOptions {
  /** Flags of open(2): a number made of `fs.constants`, or one of Node's 'r', 'r+', 'w', 'w+', 'a', 'a+'. Default 'r'. */
  readonly flags?: number | string | undefined;
  /**
   * A directory: its path, or an object with its descriptor. `path` is taken from there, and nothing outside of it is reached, neither by `..`
   * nor by a link nor by an absolute path (RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS of openat2, Linux 5.6). Default: none, every path is
   * good.
   */
  readonly beneath?: string | Directory | undefined;
  /** What the file must be. Anything else is closed again: note that to open a device may have an effect already. Default: anything. */
  readonly expect?: Expectation | undefined;
  /**
   * When it aborts, the promise rejects with `ERR_GRPCFD_ABORTED`, whose `cause` is the reason of the signal. A file that is opened later is
   * closed. Default: none.
   */
  readonly signal?: AbortSignal | undefined;
}

const RULES: RulesFor<OpenFileOptions> = {
  flags: openFlags,
  beneath: rule(
    'a path or an object with an fd',
    (value) => aString.hasType(value) || (anObject.hasType(value) && 'fd' in Object(value)),
    // It would be none.
    (value) => value !== '',
  ),
  expect: anObject,
  signal: anAbortSignal,
};

/** Threads at a time. A file system that does not answer keeps one for as long as it likes. */
const MAX_THREADS = 16;

const queue: (() => void)[] = [];
let threads = 0;
/** Those whose promise has not been settled. */
let wanted = 0;

/**
 * Opens a file in a thread of its own, for a path that somebody else chose: it may lie on a file system that takes its time, like FUSE, NFS
 * or autofs. The event loop, the thread pool and the end of the process do not wait for it. At most 16 files are being opened at a time; the
 * next ones wait for their turn, so give a `signal` where a file system may hang.
 *
 * A FIFO is opened at once, without another end. The path is looked up in another thread, so `/proc/thread-self` means nothing here: use
 * `sendFilename()` for it.
 *
 * @returns a file that belongs to the caller, who closes it. `sendFile()` sends a duplicate of it.
 * @throws GrpcFdError, in the promise: `ERR_GRPCFD_OPEN_FAILED` with the failed syscall as its cause (EXDEV: the path leads out of the
 * directory; ENOSYS: the kernel has no openat2), `ERR_GRPCFD_UNEXPECTED_KIND`, `ERR_GRPCFD_ABORTED`, `ERR_GRPCFD_INVALID_ARGUMENT`
 */
export async function openFile(path: string, options: OpenFileOptions = {}): Promise<ReceivedFile> {
  checkPath(path);
  checkGrpcOptions(options, RULES);
  const { flags = 'r', beneath, expect, signal } = options;
  checkExpectation(expect);
  if (typeof beneath === 'string') checkPath(beneath);
  const fd = await openInThread(path, toOpenFlags(flags), beneath, signal);
  return new ReceivedFile(fd, expect);
}

function openInThread(
  path: string,
  flags: number,
  beneath: OpenFileOptions['beneath'],
  signal: AbortSignal | undefined,
): Promise<number> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(aborted(path, signal));
      return;
    }
    let directory = -1;
    try {
      if (typeof beneath === 'object') directory = native.duplicate(beneath.fd);
    } catch (cause) {
      reject(cause instanceof GrpcFdError ? cause : openFailed(path, flags, cause));
      return;
    }
    if (directory >= 0) native.guard(directory);
    wanted++;
    let isSettled = false;
    const settle = (): boolean => {
      if (isSettled) return false;
      isSettled = true;
      signal?.removeEventListener('abort', onAbort);
      wanted--;
      if (wanted === 0) native.keepAliveToOpen(false);
      return true;
    };
    const start = (): void => {
      threads++;
      const directoryPath = typeof beneath === 'string' ? beneath : '';
      try {
        native.openInThread(directory, directoryPath, path, flags, onOpened);
        native.keepAliveToOpen(true);
      } catch (cause) {
        threads--;
        if (settle()) reject(openFailed(path, flags, cause));
      }
    };
    const onOpened = (errno: number, fd: number): void => {
      threads--;
      queue.shift()?.();
      if (!settle()) {
        if (fd >= 0) native.close(fd);
      } else if (errno === 0) {
        resolve(fd);
      } else {
        reject(
          openFailed(path, flags, native.systemError(errno, beneath === undefined ? 'open' : 'openat2')),
        );
      }
    };
    const onAbort = (): void => {
      const index = queue.indexOf(start);
      if (index >= 0) {
        queue.splice(index, 1);
        if (directory >= 0) native.close(directory);
      }
      if (settle()) reject(aborted(path, signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    if (threads < MAX_THREADS) start();
    else queue.push(start);
  });
}

function aborted(path: string, signal: AbortSignal | undefined): GrpcFdError {
  return new GrpcFdError('ERR_GRPCFD_ABORTED', `opening ${quotePeerText(path)} was aborted`, {
    cause: signal?.reason,
  });
}
