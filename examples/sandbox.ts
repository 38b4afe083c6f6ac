// A child process without rights gets files over a socketpair. There is no socket file. See sandbox/README.md.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import { newServer, shutDown, temporaryDirectory } from './handover/handover.js';
import { startUnprivileged } from './handover/unprivileged.js';

const path = join(temporaryDirectory(), 'secret.txt');
writeFileSync(path, 'the secret', { mode: 0o600 });

// The child asks for a file by its name, and the server decides which names there are.
const server = newServer(async (name, fds, call) => {
  console.log(`${call.getPeer().replace(/pid=\d+/, 'pid=…')} asks for ${name}`);
  await using file = await open(path);
  return fds.sendFile(file).ref;
});

const { child, socket, peer } = startUnprivileged(new URL('./sandbox/child.js', import.meta.url), path);
const connection = await server.serveConnection(socket, grpcfd.serverCredentials(), { peer });

await once(child, 'exit');
await connection.closed;
console.log('the child has gone, and so has its connection');
await shutDown(server);
