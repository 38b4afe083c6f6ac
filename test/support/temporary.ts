import { closeSync, mkdtempSync, openSync, readSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defer } from './fd-table.js';

/** A new directory, which the end of the test removes. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'grpcfd-'));
  defer(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A descriptor of a new file with that content, for the caller to close. */
export function fileWith(content: string): number {
  const directory = mkdtempSync(join(tmpdir(), 'grpcfd-'));
  try {
    const path = join(directory, 'file');
    const fd = openSync(path, 'wx+');
    unlinkSync(path);
    writeSync(fd, content);
    return fd;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Reads the file behind a descriptor, and closes the descriptor. */
export function contentOf(fd: number): string {
  const buffer = Buffer.alloc(4096);
  try {
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, 0));
  } finally {
    closeSync(fd);
  }
}
