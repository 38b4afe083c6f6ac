/** Files in memory, each with its own inode. */
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A tmpfs, the file system that memfds are made of. The files have names in it for a moment. */
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Descriptors of new unlinked files. The caller closes them. */
export function memoryFiles(count: number): number[] {
  const directory = mkdtempSync(join(MEMORY, 'grpcfd-bench-'));
  try {
    const path = join(directory, 'file');
    return Array.from({ length: count }, () => {
      const fd = openSync(path, 'wx+');
      unlinkSync(path);
      return fd;
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A set of files that grows when a caller needs more. */
export class FilePool {
  readonly #fds: number[] = [];

  take(count: number): readonly number[] {
    if (count > this.#fds.length) this.#fds.push(...memoryFiles(count - this.#fds.length));
    return this.#fds.slice(0, count);
  }

  close(): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}
