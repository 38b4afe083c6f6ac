import { anAbortSignal, anObject, aString, checkGrpcOptions, type RulesFor, rule } from '../checks.js';
import { quotePeerText } from '../error-text.js';
import { Ending } from './ending.js';
import { checkExpectation, type Expectation } from './file-kind.js';
import { checkPath, NEW_FILE_MODE } from './open-file.js';
import { aMode, openFlags, toOpenFlags } from './open-flags.js';
import { type Directory, openInThread } from './open-in-thread.js';
import { ReceivedFile } from './received-file.js';

/** Options of {@link openFile}. */
export interface OpenFileOptions {
  /** Flags of open(2): a number made of `fs.constants`, or one of Node's 'r', 'r+', 'w', 'w+', 'a', 'a+'. Default 'r'. */
  readonly flags?: number | string | undefined;
  /** Permissions of a file that this makes (O_CREAT, O_TMPFILE). The umask takes bits away. Default 0o666. */
  readonly mode?: number | undefined;
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
  mode: aMode,
  beneath: rule(
    'a path or an object with an fd',
    (value) => aString.hasType(value) || (anObject.hasType(value) && 'fd' in Object(value)),
    // It would be none.
    (value) => value !== '',
  ),
  expect: anObject,
  signal: anAbortSignal,
};

/**
 * Opens a file in a thread of its own, for a path that somebody else chose: it may lie on a file system that takes its time, like FUSE, NFS
 * or autofs. The event loop, the thread pool and the end of the process do not wait for it. At most 16 such threads run at a
 * time; the next ones wait for their turn, so give a `signal` where a file system may hang.
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
  const { flags = 'r', mode = NEW_FILE_MODE, beneath, expect, signal } = options;
  checkExpectation(expect);
  if (typeof beneath === 'string') checkPath(beneath);
  const request = { path, flags: toOpenFlags(flags), mode, beneath };
  const fd = await new Ending().run(`opening ${quotePeerText(path)}`, { signal }, (ending) =>
    openInThread(request, ending),
  );
  return new ReceivedFile(fd, expect);
}
