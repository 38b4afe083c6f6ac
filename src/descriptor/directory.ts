import { constants } from 'node:fs';
import {
  aBoolean,
  aLimit,
  anAbortSignal,
  anObject,
  check,
  checkGrpcOptions,
  grpcComplaint,
  type RulesFor,
} from '../checks.js';
import { quotePeerText } from '../error-text.js';
import { GrpcFdError } from '../errors.js';
import { native } from '../native/binding.js';
import type { FileKind } from '../native/file-types.js';
import type { Ending } from './ending.js';
import { assertKind, checkExpectation, type Expectation } from './file-kind.js';
import { inThread } from './in-thread.js';
import { checkPath, NEW_FILE_MODE } from './open-file.js';
import { aMode, openFlags, toOpenFlags } from './open-flags.js';
import { duplicateGuarded, openInThread } from './open-in-thread.js';

/** Options of {@link ReceivedFile.openIn}. */
export interface OpenInOptions {
  /** Permissions of a file that this makes (O_CREAT, O_TMPFILE). The umask takes bits away. Default 0o666. */
  readonly mode?: number | undefined;
  /** What the file must be. Anything else is closed again: note that to open a device may have an effect already. Default: anything. */
  readonly expect?: Expectation | undefined;
  /**
   * When it aborts, the promise rejects with `ERR_GRPCFD_ABORTED`, whose `cause` is the reason of the signal. A file that is opened later is
   * closed. Default: none.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link ReceivedFile.readdir}. */
export interface ReaddirOptions {
  /** Whether to give a {@link DirectoryEntry} for each entry, with its kind. Default: false, names alone. */
  readonly withFileTypes?: boolean | undefined;
  /**
   * The most entries. A longer directory fails with `ERR_GRPCFD_FILE_TOO_LARGE`: the peer decides how long a directory gets. Default
   * 1,000,000. `Infinity` switches the limit off.
   */
  readonly maxEntries?: number | undefined;
  /** When it aborts, the read fails with `ERR_GRPCFD_ABORTED`, whose `cause` is the reason of the signal. Default: none. */
  readonly signal?: AbortSignal | undefined;
}

/** An entry of a directory. */
export interface DirectoryEntry {
  /** Bytes that are not UTF-8 are replaced by U+FFFD, as in `node:fs`. */
  readonly name: string;
  /**
   * As the directory tells it, which tells less than an open file does: a terminal is a `device`, and a symbolic link a `symlink`. It may be
   * another file by the time that it is opened. `unknown` where neither the file system nor this process's rights tell it.
   */
  readonly kind: FileKind;
}

/** The directory that is used. Its descriptor is only borrowed. */
export interface OpenDirectory {
  readonly fd: number;
  readonly url: string;
  readonly kind: FileKind;
}

const OPEN_IN_RULES: RulesFor<OpenInOptions> = { mode: aMode, expect: anObject, signal: anAbortSignal };

const READDIR_RULES: RulesFor<ReaddirOptions> = {
  withFileTypes: aBoolean,
  maxEntries: aLimit,
  signal: anAbortSignal,
};

const MAX_ENTRIES = 1_000_000;

/** DT_REG and so on. */
const KIND_OF_TYPE: Readonly<Record<number, FileKind>> = {
  1: 'pipe',
  2: 'device',
  4: 'directory',
  6: 'device',
  8: 'file',
  10: 'symlink',
  12: 'socket',
};

/** @throws GrpcFdError `ERR_GRPCFD_INVALID_ARGUMENT` */
export function checkOpenIn(
  path: unknown,
  flags: unknown,
  given: number | OpenInOptions,
): OpenInOptions & { readonly mode: number } {
  checkPath(path);
  check(grpcComplaint, 'flags', flags, openFlags);
  const options: OpenInOptions = typeof given === 'number' ? { mode: given } : given;
  checkGrpcOptions(options, OPEN_IN_RULES);
  checkExpectation(options.expect);
  return { ...options, mode: options.mode ?? NEW_FILE_MODE };
}

/** Takes what {@link checkOpenIn} has checked. The descriptor belongs to the caller, and is guarded. */
export function openIn(
  directory: OpenDirectory,
  path: string,
  flags: number | string,
  { mode, signal }: OpenInOptions & { readonly mode: number },
  ending: Ending,
): Promise<number> {
  const { fd } = directory;
  assertKind(directory, 'directory', 'openIn()');
  const request = { path, flags: toOpenFlags(flags), mode, beneath: { fd } };
  return ending.run(`opening ${quotePeerText(path)}`, { signal }, (end) => openInThread(request, end));
}

/** The offset that is shared with the sender is not used: the directory is opened anew. */
export async function readDirectory(
  directory: OpenDirectory,
  options: ReaddirOptions,
  ending: Ending,
): Promise<DirectoryEntry[]> {
  checkGrpcOptions(options, READDIR_RULES);
  const { maxEntries = MAX_ENTRIES, signal } = options;
  const { fd, url } = directory;
  assertKind(directory, 'directory', 'readdir()');
  const request = {
    path: '.',
    flags: constants.O_RDONLY | constants.O_DIRECTORY,
    mode: 0,
    beneath: { fd },
  };
  return ending.run(`reading the directory ${url}`, { signal }, async (end) => {
    const own = await openInThread(request, end);
    try {
      const entries: DirectoryEntry[] = [];
      for (;;) {
        const bytes = await list(own, end);
        if (bytes.length === 0) return entries;
        addEntries(bytes, entries);
        if (entries.length > maxEntries) throw tooMany(url, maxEntries);
        end.throwIfAborted();
      }
    } finally {
      native.close(own);
    }
  });
}

/** The next entries, as the addon gives them. The thread has a descriptor of its own, since it may outlive the caller. */
function list(fd: number, signal: AbortSignal): Promise<Buffer> {
  const own = duplicateGuarded(fd);
  return inThread<Buffer>(
    {
      syscall: 'getdents64',
      fd: own,
      start: (onDone) => native.listInThread(own, onDone),
      discard: () => {},
    },
    signal,
  );
}

function addEntries(bytes: Buffer, entries: DirectoryEntry[]): void {
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at + 1);
    entries.push({
      name: bytes.toString('utf8', at + 1, end),
      kind: KIND_OF_TYPE[bytes[at] ?? 0] ?? 'unknown',
    });
    at = end + 1;
  }
}

function tooMany(url: string, maxEntries: number): GrpcFdError {
  return new GrpcFdError(
    'ERR_GRPCFD_FILE_TOO_LARGE',
    `the directory ${url} has more than ${maxEntries} entries`,
  );
}
