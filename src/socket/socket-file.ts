/** The file of a listening socket. It appears in one step, with its owner and mode, and is removed safely. */
import { randomBytes } from 'node:crypto';
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { bindUnix, close, connectUnix, systemError, tryLock } from '../native/binding.js';
import { addressBytes, withAddress } from './address.js';

const { EADDRINUSE, ENAMETOOLONG } = constants.errno;

/** The size of sun_path: a longer path cannot be bound. */
const MAX_PATH_BYTES = 108;

/** This package holds the lock for microseconds. A process that holds it during all these tries uses it for something else. */
const LOCK_TRIES = 100;
const LOCK_RETRY_MS = 10;

export interface SocketFileOptions {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/**
 * Binds a socket under a temporary name beside `path`, so that it gets its owner and mode, and listens, before other processes can find
 * it. Then `publish` gives it its final name. So a socket file that refuses connections has no listener, and is not just about to get one.
 * (The kernel reports the temporary name as the address of the socket, in `ss -x` for example.)
 */
export class SocketFile {
  readonly #path: string;
  /** For `unlink`: the working directory may have changed by then. */
  readonly #absolutePath: string;
  readonly #temporaryPath: string;
  #identity: BigIntStats | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#absolutePath = resolve(path);
    this.#temporaryPath = temporaryPathFor(path);
  }

  /** The bound socket. It belongs to the caller. */
  bind({ mode, uid, gid }: SocketFileOptions): number {
    const fd = this.#bindTemporary();
    try {
      // The owner is set first, because that may clear bits of the mode.
      if (uid !== undefined || gid !== undefined) lchownSync(this.#temporaryPath, uid ?? -1, gid ?? -1);
      if (mode !== undefined) chmodSync(this.#temporaryPath, mode);
      this.#identity = lstatSync(this.#temporaryPath, { bigint: true });
    } catch (error) {
      close(fd);
      this.discard();
      throw error;
    }
    return fd;
  }

  /**
   * Gives the socket its final name. It must listen already.
   *
   * @throws EADDRINUSE if anything but a socket file without a listener is at the path
   */
  publish(): void {
    if (!this.#linkIfFree()) this.#replaceDeadSocket();
    this.discard();
  }

  /** Removes the file, unless another process has replaced it. */
  unlink(): void {
    const found = lstatOf(this.#absolutePath);
    const own = this.#identity;
    if (found && found.dev === own?.dev && found.ino === own.ino) unlinkSync(this.#absolutePath);
  }

  /** Removes the temporary name, if it is still there. */
  discard(): void {
    try {
      unlinkSync(this.#temporaryPath);
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
    }
  }

  #bindTemporary(): number {
    const { length } = addressBytes(this.#path);
    try {
      // The temporary name may fit, but nobody could connect to the final one.
      if (length > MAX_PATH_BYTES) throw systemError(ENAMETOOLONG, 'bind');
      return bindUnix(addressBytes(this.#temporaryPath));
    } catch (error) {
      throw withAddress(error, this.#path);
    }
  }

  #linkIfFree(): boolean {
    try {
      linkSync(this.#temporaryPath, this.#path);
      return true;
    } catch (error) {
      if (isCode(error, 'EEXIST')) return false;
      throw error;
    }
  }

  /** It holds a lock: of two processes that start at the same time, the second one would replace the socket of the first. */
  #replaceDeadSocket(): void {
    const directory = openSync(dirname(this.#path), 'r');
    try {
      if (!lockPatiently(directory)) throw addressInUse(this.#path);
      const found = lstatOf(this.#path);
      if (found === undefined) {
        if (!this.#linkIfFree()) throw addressInUse(this.#path);
        return;
      }
      if (!found.isSocket() || !refusesConnections(this.#path)) throw addressInUse(this.#path);
      renameSync(this.#temporaryPath, this.#path);
    } finally {
      closeSync(directory);
    }
  }
}

/** A name beside `path`. It begins with `path` if it is short enough for an address; otherwise it is as long as `path`. */
function temporaryPathFor(path: string): string {
  const unique = randomBytes(8).toString('hex');
  const telling = `${path}.${unique.slice(0, 6)}`;
  if (Buffer.byteLength(telling) <= MAX_PATH_BYTES) return telling;
  return join(dirname(path), unique.slice(0, Buffer.byteLength(basename(path))));
}

function lockPatiently(fd: number): boolean {
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    if (tryLock(fd)) return true;
    Atomics.wait(clock, 0, 0, LOCK_RETRY_MS);
  }
  return false;
}

function refusesConnections(path: string): boolean {
  try {
    close(connectUnix(addressBytes(path)));
    return false;
  } catch (error) {
    return isCode(error, 'ECONNREFUSED');
  }
}

function lstatOf(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}

function addressInUse(path: string): unknown {
  return withAddress(systemError(EADDRINUSE, 'bind'), path);
}
