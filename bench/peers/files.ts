/** Files in memory, each an inode of its own. */
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** tmpfs: the memory that a memfd is made of, under a name for a moment. */
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Descriptors of new unlinked files, the caller's to close. */
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

/** The first `count` of a set that grows when more are needed. */
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
