// A child process without rights gets files over a socketpair. There is no socket file. See sandbox/README.md.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import { newServer, programPath, shutDown, temporaryDirectory } from './handover/handover.js';

const path = join(temporaryDirectory(), 'secret.txt');
writeFileSync(path, 'the secret', { mode: 0o600 });

// The child asks for a file by its name, and the server decides which names there are.
const server = newServer(async (name, fds, call) => {
  console.log(`${call.getPeer().replace(/pid=\d+/, 'pid=…')} asks for ${name}`);
  await using file = await open(path);
  return fds.sendFile(file).ref;
});

const child = spawn(process.execPath, [programPath('sandbox/child'), path], {
  stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  env: {},
});
const isRoot = process.getuid?.() === 0;
const peer = {
  pid: child.pid ?? 0,
  uid: isRoot ? 65534 : (process.getuid?.() ?? 0),
  gid: isRoot ? 65534 : (process.getgid?.() ?? 0),
};
const connection = await server.serveConnection(child.stdio[3] as Socket, grpcfd.serverCredentials(), {
  peer,
});

await once(child, 'exit');
await connection.closed;
console.log('the child has gone, and so has its connection');
await shutDown(server);
