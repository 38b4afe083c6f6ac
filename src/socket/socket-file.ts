/** The name of a listening socket in the file system: how it appears, in one step, and how it goes. */
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

/** The lock is held for some microseconds. Who holds it for longer than all these tries is not one of us. */
const LOCK_TRIES = 100;
const LOCK_RETRY_MS = 10;

export interface SocketFileOptions {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/**
 * Binds a socket under a name of its own beside `path`, so that it has its owner and mode, and listens,
 * before anybody can find it; `publish` then gives it its right name. So what is found at a path and refuses
 * connections is dead, and not just about to listen. (The kernel reports the first name as the address of the
 * socket, in `ss -x` for example.)
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

  /** The bound socket, owned by the caller. */
  bind({ mode, uid, gid }: SocketFileOptions): number {
    const fd = this.#bindTemporary();
    try {
      // Owner first: a change of owner may take bits of the mode away.
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
   * Call this when the socket listens. Throws EADDRINUSE if the path is taken by anything but a dead socket.
   */
  publish(): void {
    if (!this.#linkIfFree()) this.#replaceDeadSocket();
    this.discard();
  }

  /** Removes the file, unless it is somebody else's by now. */
  unlink(): void {
    const found = lstatOf(this.#absolutePath);
    const own = this.#identity;
    if (found && found.dev === own?.dev && found.ino === own.ino) unlinkSync(this.#absolutePath);
  }

  /** Removes the first name, if it is still there. */
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
      // The first name may well fit, but nobody could connect to the second.
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

  /**
   * Under a lock: of two processes that start at the same time, the second would otherwise replace the first.
   */
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

/**
 * Beside `path`, and as long as it fits: a name that says whose it is, otherwise one that is no longer than
 * the path's own.
 */
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
