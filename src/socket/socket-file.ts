/** The name of a listening socket in the file system: how it appears, in one step, and how it goes. */
import { randomBytes } from 'node:crypto';
import { type BigIntStats, chmodSync, lchownSync, linkSync, lstatSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { bindUnix, close, connectUnix, renameFile, systemError } from '../native/binding.js';
import { addressBytes } from './address.js';

const { EADDRINUSE } = constants.errno;

/** The size of sun_path: a longer path cannot be bound. */
const MAX_PATH_BYTES = 108;

export interface SocketFileOptions {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/**
 * Binds a socket under a name of its own beside `path`, so that it can get its owner and mode, and start to listen, before
 * anybody can find it. `publish` then gives it its right name. (The address that the kernel reports for the socket, as in
 * `ss -x`, stays the first name.)
 */
export class SocketFile {
  readonly #path: string;
  readonly #temporaryPath: string;
  #identity: BigIntStats | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#temporaryPath = temporaryPathFor(path);
  }

  /** The bound socket, owned by the caller. */
  bind({ mode, uid, gid }: SocketFileOptions): number {
    const fd = bindUnix(addressBytes(this.#temporaryPath));
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

  /** Call this when the socket listens. Throws EADDRINUSE if the path is taken by anything but a dead socket. */
  publish(): void {
    try {
      moveToFreeName(this.#temporaryPath, this.#path);
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      this.#replaceDeadSocket();
    }
  }

  /** Removes the file, unless it is somebody else's by now. */
  unlink(): void {
    const found = lstatOf(this.#path);
    if (found && this.#identity && isSameFile(found, this.#identity)) unlinkSync(this.#path);
  }

  /** Removes the file that has not been published. */
  discard(): void {
    try {
      unlinkSync(this.#temporaryPath);
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
    }
  }

  /**
   * A socket made by this class listens before it has its name, so one that refuses connections is dead. Two processes that
   * start at the same time may both see that. So the names are swapped, and swapped back if what was there is not the dead
   * socket any more.
   */
  #replaceDeadSocket(): void {
    const dead = lstatOf(this.#path);
    if (!dead?.isSocket() || !refusesConnections(this.#path)) throw addressInUse(this.#path);
    renameFile(this.#temporaryPath, this.#path, true);
    const replaced = lstatSync(this.#temporaryPath, { bigint: true });
    if (!isSameFile(replaced, dead)) {
      renameFile(this.#temporaryPath, this.#path, true);
      throw addressInUse(this.#path);
    }
    this.discard();
  }
}

/** Beside `path`, and as long as it fits: a name that says whose it is, otherwise one that is no longer than the path's own. */
function temporaryPathFor(path: string): string {
  const unique = randomBytes(8).toString('hex');
  const telling = `${path}.${unique.slice(0, 6)}`;
  if (Buffer.byteLength(telling) <= MAX_PATH_BYTES) return telling;
  return join(dirname(path), unique.slice(0, Buffer.byteLength(basename(path))));
}

/** Moves a name, never replacing. A file system that knows no such flag (EINVAL) has hard links to do it with. */
function moveToFreeName(from: string, to: string): void {
  try {
    renameFile(from, to, false);
  } catch (error) {
    if (!isCode(error, 'EINVAL')) throw error;
    linkSync(from, to);
    unlinkSync(from);
  }
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

function isSameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}

function addressInUse(path: string): NodeJS.ErrnoException {
  const error = systemError(EADDRINUSE, 'bind');
  error.message += ` '${path}'`;
  return Object.assign(error, { path });
}
