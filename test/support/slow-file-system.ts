/** A mounted FUSE file system with a file whose close hangs: its server does not answer FLUSH. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defer } from './fd-table.js';
import { temporaryDirectory } from './temporary.js';

export interface SlowFileSystem {
  /** Each close of a descriptor of it hangs, unless it was opened with O_PATH. */
  readonly file: string;
  /** What hangs ends. Idempotent. */
  readonly end: () => Promise<void>;
}

/** Undefined where this process may not mount one. The end of the test takes it away. */
export async function slowFileSystem(): Promise<SlowFileSystem | undefined> {
  const path = join(temporaryDirectory(), 'slow');
  mkdirSync(path);
  let device: number;
  try {
    device = openSync('/dev/fuse', 'r+');
  } catch {
    return undefined;
  }
  // The server starts afterwards: it cannot read from a device that nothing is mounted with.
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
  const { status } = spawnSync('mount', ['-i', '-t', 'fuse', '-o', options, 'grpcfd', path], {
    stdio: ['ignore', 'ignore', 'ignore', device],
  });
  if (status !== 0) {
    closeSync(device);
    return undefined;
  }
  const server = spawn(process.execPath, [fileURLToPath(new URL('./fuse-server.js', import.meta.url))], {
    stdio: ['pipe', 'ignore', 'ignore', device],
  });
  closeSync(device);
  const end = () => kill(server);
  defer(async () => {
    await end();
    spawnSync('umount', ['-l', path]);
  });
  return { file: join(path, 'file'), end };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
