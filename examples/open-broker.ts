// A process with rights opens files for one that has dropped its own. See open-broker/README.md.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import * as grpcfd from 'grpcfd';
import {
  type Gift,
  handoverService,
  shutDown,
  type Thanks,
  temporaryDirectory,
} from './handover/handover.js';
import { canDropRights, startUnprivileged } from './handover/unprivileged.js';
import { openAllowed, type Permission } from './open-broker/allow-list.js';

if (!canDropRights) {
  console.log('only root can start a client that has no rights');
  process.exit();
}

/** A file system that does not answer fails the call, and nothing else. */
const PATIENCE_MS = 5_000;

// Nobody else may look into it.
const directory = temporaryDirectory();
mkdirSync(join(directory, 'public'));
mkdirSync(join(directory, 'letters'));
writeFileSync(join(directory, 'letters', 'first.txt'), 'dear reader');
writeFileSync(join(directory, 'public', 'notes.txt'), 'the notes', { mode: 0o600 });
writeFileSync(join(directory, 'secret.txt'), 'the secret', { mode: 0o600 });
symlinkSync('../secret.txt', join(directory, 'public', 'link to secret.txt'));
linkSync(join(directory, 'secret.txt'), join(directory, 'public', 'other name of secret.txt'));
execFileSync('mkfifo', [join(directory, 'public', 'pipe')]);
const greeter = createServer((socket) => socket.end('hello'));
await once(greeter.listen(join(directory, 'greeter.sock')), 'listening');
chmodSync(join(directory, 'greeter.sock'), 0o666);

const ALLOWED: readonly Permission[] = [
  { path: join(directory, 'public/'), kind: 'file', to: 'read' },
  { path: join(directory, 'letters'), kind: 'directory', to: 'read' },
  { path: join(directory, 'greeter.sock'), kind: 'socket', to: 'name' },
];

const short = (text: string) => text.replace(`${directory}/`, '');

const server = new grpcfd.Server();
server.addService(handoverService, {
  Give: grpcfd.handler<Gift, Thanks>(async (call, fds) => {
    const path = call.request.file;
    const asked = `broker: user ${/uid=(\d+)/.exec(call.getPeer())?.[1]} asks for ${short(path)}`;
    try {
      await using file = await openAllowed(path, ALLOWED, AbortSignal.timeout(PATIENCE_MS));
      console.log(`${asked}: a ${file.kind}, with the access ${file.access}`);
      return { text: fds.sendFile(file).ref };
    } catch (error) {
      console.log(`${asked}: refused, ${short((error as Error).message)}`);
      throw error;
    }
  }),
});

const client = startUnprivileged(new URL('./open-broker/client.js', import.meta.url), directory);
await server.serveConnection(client.socket, grpcfd.serverCredentials(), { peer: client.peer });
await once(client.child, 'exit');
greeter.close();
await shutDown(server);
