/** What tells one open file from another, also where they share an inode. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { closeSync, readFileSync, readSync, writeSync } from 'node:fs';

const O_CLOEXEC = 0o2000000;

/**
 * What the kernel tells of an open file: access mode and status flags, offset, inode, the id of an eventfd, what an epoll
 * watches. The same for all descriptors of one open file; close-on-exec is of a descriptor.
 */
export function openFileOf(fd: number): string {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  return info.replace(/^flags:\s*(\d+)$/m, (_, flags) => {
    return `flags: ${(Number.parseInt(flags, 8) & ~O_CLOEXEC).toString(8)}`;
  });
}

/** Writes to one descriptor of a pipe or a socket and reads it from another: they are ends of the same. Both are left open. */
export function assertConnected(writeEnd: number, readEnd: number): void {
  const word = randomUUID();
  writeSync(writeEnd, word);
  const buffer = Buffer.alloc(word.length);
  assert.equal(buffer.toString('utf8', 0, readSync(readEnd, buffer)), word);
}

/** Runs `use` with a descriptor that is closed after it. */
export function closing<T>(fd: number, use: (fd: number) => T): T {
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
