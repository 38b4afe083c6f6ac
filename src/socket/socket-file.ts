/** The file of a listening socket. It gets its mode and owner before the socket listens, and it is removed safely. */
import { lstatSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, isAbsolute, resolve } from 'node:path';
import { native } from '../native/binding.js';
import { addressBytes, withAddress } from './address.js';

const { EWOULDBLOCK } = constants.errno;

/** Of `sun_path`. A relative path may have been shorter. */
const MAX_NAME_LENGTH = 108;

/** The kernel takes the highest value for "leave it as it is". */
const UNCHANGED = 2 ** 32 - 1;

export interface SocketFileOptions {
  readonly backlog: number;
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** What an error of a syscall means here. */
const HINTS: Readonly<Record<string, string>> = {
  'EPERM chown': 'another owner takes the right CAP_CHOWN, and so does a group that the process is not in',
  'EINVAL chown': 'the user namespace of the process does not have this uid or gid',
  'EPERM chmod':
    'the process does not own the file, or not any more; to set its mode takes the right CAP_FOWNER then',
  'EPERM unlink':
    'nobody listens on the socket file, but it is in a sticky directory and another user owns it; to remove it takes the right CAP_FOWNER',
  'EACCES unlink':
    'nobody listens on the socket file, but to remove it takes the right to write to its directory',
};

/** The file of a socket that listens at a path. */
export class SocketFile {
  /** For `unlink`: the working directory may have changed by then. */
  readonly #path: string;
  readonly #dev: bigint;
  readonly #ino: bigint;

  private constructor(path: string, dev: bigint, ino: bigint) {
    this.#path = path;
    this.#dev = dev;
    this.#ino = ino;
  }

  /**
   * Listens at `path`. The socket belongs to the caller. It holds the lock of the directory from the bind to the listen: of two processes
   * that find the same dead socket file, the second would replace the file of the first otherwise. With `withoutLock` that can happen, if
   * both start within microseconds, and so it can where a directory cannot be locked.
   *
   * @returns undefined if another process holds the lock of the directory
   * @throws EADDRINUSE if anything but a socket file without a listener is at the path
   */
  static listen(
    path: string,
    { backlog, mode = UNCHANGED, uid = UNCHANGED, gid = UNCHANGED }: SocketFileOptions,
    withoutLock: boolean,
  ): { fd: number; file: SocketFile } | undefined {
    const settings = BigUint64Array.from([withoutLock ? 0 : 1, backlog, mode, uid, gid], BigInt);
    const identity = new BigUint64Array(2);
    try {
      const fd = native.listenAtPath(addressBytes(path), dirname(path), settings, identity);
      if (fd === -EWOULDBLOCK) return undefined;
      const [dev = 0n, ino = 0n] = identity;
      return { fd, file: new SocketFile(resolve(path), dev, ino) };
    } catch (error) {
      throw withHint(withAddress(error, path));
    }
  }

  /**
   * Removes a socket file to which no socket is bound, for a server that Node.js binds.
   *
   * @throws EACCES, EPERM where the process may not remove it
   */
  static removeDead(path: string): void {
    try {
      native.removeDeadSocketFile(addressBytes(path), dirname(path));
    } catch (error) {
      throw withHint(withAddress(error, path));
    }
  }

  /**
   * The file of a socket that somebody has bound to `path`, perhaps in another directory, if that path was not absolute. Undefined if another
   * file is at `path` now. Where the kernel does not tell the file of the socket, an absolute path is taken at its word.
   */
  static of(fd: number, path: string): SocketFile | undefined {
    const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (found === undefined || !found.isSocket()) return undefined;
    const bound = new BigUint64Array(2);
    const isOwn = native.boundFile(fd, bound)
      ? found.dev === bound[0] && BigInt.asUintN(32, found.ino) === bound[1]
      : isAbsolute(path);
    return isOwn ? new SocketFile(resolve(path), found.dev, found.ino) : undefined;
  }

  /** Removes the file, unless another process has replaced it. */
  unlink(): void {
    const found = lstatSync(this.#path, { bigint: true, throwIfNoEntry: false });
    if (found?.dev === this.#dev && found.ino === this.#ino) unlinkSync(this.#path);
  }

  /** {@link unlink}, unless any process has a socket that is bound to the file, or it cannot be told. Nobody is connected to. */
  unlinkUnlessServed(): void {
    const name = Buffer.from(this.#path);
    if (name.length <= MAX_NAME_LENGTH && !native.isSocketFileServed(name)) this.unlink();
  }
}

function withHint(error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  const hint = HINTS[`${code} ${syscall}`];
  if (hint !== undefined) (error as Error).message += `: ${hint}`;
  return error;
}
