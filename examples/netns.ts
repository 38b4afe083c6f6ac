// A process in another network namespace makes a listening socket there, and this process serves on it. See netns/README.md.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as grpcfd from 'grpcfd';
import {
  bind,
  type Gift,
  handoverService,
  shutDown,
  type Thanks,
  temporaryDirectory,
} from './handover/handover.js';

/** Whoever is not root needs a user namespace, too, to make a network namespace. */
const UNSHARE = process.getuid?.() === 0 ? ['--net'] : ['--net', '--map-root-user'];

const allowed = spawnSync('unshare', [...UNSHARE, 'true'], { encoding: 'utf8' });
if (allowed.status !== 0) {
  const reason = allowed.error?.message ?? allowed.stderr.trim();
  console.log(`no network namespace can be made here: ${reason}`);
  process.exit();
}

const server = new grpcfd.Server();
const web = http.createServer((_request, response) => response.end('served from outside'));
server.addService(handoverService, {
  Give: grpcfd.handler<Gift, Thanks>(async (call, fds) => {
    const file = await fds.recvFile(call.request.file, { expect: { kind: 'socket' } });
    const { family, type, listening } = file.socketInfo();
    file.toServer({ server: web });
    return { text: `a ${listening ? 'listening ' : ''}socket of ${family}, of the type ${type}` };
  }),
});
// A socket file is reached from every network namespace. Abstract names and ports are not.
const address = `unix:${join(temporaryDirectory(), 'handover.sock')}`;
await bind(server, address, grpcfd.serverCredentials());

const inside = spawn(
  'unshare',
  [...UNSHARE, process.execPath, fileURLToPath(new URL('./netns/inside.js', import.meta.url)), address],
  {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, OUTSIDE: readlinkSync('/proc/self/ns/net') },
  },
);
const [code] = await once(inside, 'exit');

if (web.listening) {
  const { port } = web.address() as AddressInfo;
  const [error] = await once(http.get({ host: '127.0.0.1', port, agent: false }), 'error');
  console.log(`outside, port ${port}: ${error.code}`);
  web.close();
}
await shutDown(server);
process.exitCode = code;
