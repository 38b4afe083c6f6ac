/** A mounted file system whose server never answers, as one of FUSE, NFS or autofs may be. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { defer } from './fd-table.js';
import { temporaryDirectory } from './temporary.js';

export interface HangingFileSystem {
  readonly path: string;
  /** From now on, everything fails with ENOTCONN, also what hangs. Idempotent. */
  readonly end: () => void;
}

/** Undefined where this process may not mount one. The end of the test takes it away. */
export function hangingFileSystem(): HangingFileSystem | undefined {
  const path = join(temporaryDirectory(), 'hanging');
  mkdirSync(path);
  let server: number;
  try {
    server = openSync('/dev/fuse', 'r+');
  } catch {
    return undefined;
  }
  let isOpen = true;
  const end = (): void => {
    if (isOpen) closeSync(server);
    isOpen = false;
  };
  defer(end);
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
  const { status } = spawnSync('mount', ['-i', '-t', 'fuse', '-o', options, 'grpcfd', path], {
    stdio: ['ignore', 'ignore', 'ignore', server],
  });
  if (status !== 0) return undefined;
  defer(() => {
    end();
    spawnSync('umount', ['-l', path]);
  });
  return { path, end };
}
