// A starter that does what systemd does for a socket unit, and a client whose calls wait while the service is not there. See
// socket-activation/README.md.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, renameSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import { HandoverClient, programPath, temporaryDirectory } from './handover/handover.js';

const path = join(temporaryDirectory(), 'files.sock');
const listener = createServer();
await once(listener.listen(path), 'listening');

/** It starts the service again when it has failed. `exec` keeps the pid, which LISTEN_PID has to be. */
const KEEP_RUNNING = `
  trap 'kill $pid' TERM
  until
    sh -c 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=files exec "$0" "$@"' "$@" & pid=$!
    wait $pid
    code=$?
    [ $code -le 128 ] || wait $pid
    [ $code = 0 ] || [ $code = 143 ]
  do :; done`;

const command = [process.execPath, programPath('socket-activation/service')];
const manager = spawn('sh', ['-c', KEEP_RUNNING, 'manager', ...command], {
  stdio: ['ignore', 'inherit', 'inherit', numberOf(path)],
});
// Only the manager and the service have the socket from now on. A close in Node.js removes the file, if it finds it.
renameSync(path, `${path}.kept`);
listener.close();
renameSync(`${path}.kept`, path);

/** Node.js does not tell the descriptor of a server. The kernel tells the inode of the socket at that path. */
function numberOf(socketPath: string): number {
  const line = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .find((each) => each.endsWith(` ${socketPath}`));
  const inode = line?.trim().split(/\s+/).at(-2);
  const isOurs = (fd: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === `socket:[${inode}]`;
    } catch {
      return false; // The descriptor that read the directory.
    }
  };
  return Number(readdirSync('/proc/self/fd').find(isOurs));
}

/** Sends a text in a file, on a new connection. Returns the pid of the service that has read it. */
async function send(text: string): Promise<number> {
  const client = new HandoverClient(`unix:${path}`, grpcfd.channelCredentials());
  using fds = grpcfd.callCredentials();
  const bytes = new TextEncoder().encode(text);
  using memory = grpcfd.createSharedMemory(bytes.length);
  memory.bytes.set(bytes);
  const { ref } = fds.sendFile(memory);
  const { text: answer } = await client.give({ file: ref }, fds.options());
  client.close();
  const [, pid = '', rest = ''] = /^process (\d+), (.*)$/.exec(answer) ?? [];
  console.log(rest);
  return Number(pid);
}

const first = await send('sent before the service had started');
process.kill(first, 'SIGKILL');
const second = await send('sent after the service was killed');
console.log(first === second ? 'the same process' : 'another process');
manager.kill('SIGTERM');
await once(manager, 'exit');
