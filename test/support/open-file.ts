/** Identifies open files, also where they share an inode. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { closeSync, readFileSync, readSync, writeSync } from 'node:fs';

const O_CLOEXEC = 0o2000000;

/**
 * The properties of an open file: access mode and status flags, offset, inode, the id of an eventfd, the descriptors that an epoll
 * watches. They are the same for all descriptors of one open file. Close-on-exec is left out: it belongs to the descriptor.
 */
export function openFileOf(fd: number): string {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  return info.replace(/^flags:\s*(\d+)$/m, (_, flags) => {
    return `flags: ${(Number.parseInt(flags, 8) & ~O_CLOEXEC).toString(8)}`;
  });
}

/** Checks that two descriptors are ends of the same pipe or socket: writes to one and reads from the other. Both stay open. */
export function assertConnected(writeEnd: number, readEnd: number): void {
  const word = randomUUID();
  writeSync(writeEnd, word);
  const buffer = Buffer.alloc(word.length);
  assert.equal(buffer.toString('utf8', 0, readSync(readEnd, buffer)), word);
}

/** Runs `use` with a descriptor, and closes the descriptor. */
export function closing<T>(fd: number, use: (fd: number) => T): T {
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
