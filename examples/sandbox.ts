// A child process without rights gets files over a socketpair. There is no socket file. See sandbox/README.md.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import {
  type Gift,
  handoverService,
  shutDown,
  type Thanks,
  temporaryDirectory,
} from './handover/handover.js';
import { startUnprivileged } from './handover/unprivileged.js';

const path = join(temporaryDirectory(), 'secret.txt');
writeFileSync(path, 'the secret', { mode: 0o600 });

const server = new grpcfd.Server();
server.addService(handoverService, {
  // The child asks for a file by its name, and the server decides which names there are.
  Give: grpcfd.handler<Gift, Thanks>(async (call, fds) => {
    console.log(`${call.getPeer().replace(/pid=\d+/, 'pid=…')} asks for ${call.request.file}`);
    await using file = await open(path);
    return { text: fds.sendFile(file).ref };
  }),
});

const { child, socket, peer } = startUnprivileged(new URL('./sandbox/child.js', import.meta.url), path);
const connection = await server.serveConnection(socket, grpcfd.serverCredentials(), { peer });

await once(child, 'exit');
await connection.closed;
console.log('the child has gone, and so has its connection');
await shutDown(server);
