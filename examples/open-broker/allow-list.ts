// Opens what a list allows, for paths that somebody else chose.
import { constants } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';

/** `fs.constants` does not have it. */
const O_PATH = 0o10_000_000;

/** What may be opened, and how. */
export interface Permission {
  /** The real path: of one file, or, with a slash at its end, of a directory for all that is beneath. */
  readonly path: string;
  readonly kind: grpcfd.FileKind;
  /** For reading, or only to name it (O_PATH), as a socket file, which cannot be read. */
  readonly to: 'read' | 'name';
}

/** Gives what owns the file. What is not allowed is an error with the status PERMISSION_DENIED. */
export async function openAllowed(
  path: string,
  permissions: readonly Permission[],
  signal: AbortSignal,
): Promise<grpcfd.ReceivedFile> {
  // First it is opened, and then looked at. O_PATH has no effect on what is there: it asks no device, and waits for no FIFO. From now on
  // it is this one file, whatever happens to the path.
  await using found = await grpcfd.openFile(path, { flags: O_PATH, signal });
  const realPath = await readlink(`/proc/self/fd/${found.fd}`);
  // It is a path of the mount namespace that the file was opened in, which can be that of the client: /proc/PID/root leads there, and the
  // client may have mounted another file at an allowed path. So it counts only if this process finds the same file at it.
  await using here = await grpcfd
    .openFile(realPath, { flags: O_PATH | constants.O_NOFOLLOW, signal })
    .catch(() => undefined);
  if (here?.url !== found.url) throw refused(`it is not what is at ${realPath} here`);
  const permission = permissions.find(
    (each) => each.kind === found.kind && (realPath === each.path || isBeneath(realPath, each.path)),
  );
  if (permission === undefined) throw refused(`it is ${realPath}, a ${found.kind}`);
  // A file with a second name has a second real path, which would perhaps not be allowed.
  if (found.kind === 'file' && (await found.stat()).nlink !== 1n) throw refused('it has another name');
  if (permission.to === 'name') return found.duplicate();
  // The same file, with the right to read. The kernel follows the descriptor, not the path, so it must stay open until then.
  return await grpcfd.openFile(`/proc/self/fd/${found.fd}`, { flags: constants.O_RDONLY, signal });
}

function isBeneath(path: string, directory: string): boolean {
  return directory.endsWith('/') && path.startsWith(directory);
}

/** The reason is for the log of the broker. The client learns the status alone. */
function refused(reason: string): Error {
  return Object.assign(new Error(reason), { code: status.PERMISSION_DENIED, details: 'this is not allowed' });
}
