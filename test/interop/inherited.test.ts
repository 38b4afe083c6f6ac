/** A Go client of a server that was given its listening socket, and the examples for sockets that are open already. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { exchange } from '../../interop/node/exchange.js';
import { MemfdMaker } from '../../interop/node/memfd.js';
import { exchangeService, healthService } from '../../interop/node/protocol.js';
import { SampleSet } from '../../interop/node/samples.js';
import { type Security, serverCredentials } from '../../interop/node/security.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { listeningSocket } from '../support/listening.js';
import { bind, shutDown } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';
import { exchangeAll } from './exchange-all.js';
import { goClient, useWorkplace, withoutGo, workplace } from './peers.js';

trackDescriptors();
useWorkplace();

const SECURITIES: readonly Security[] = ['plaintext', 'tls', 'mtls'];

/** Answers Go clients, and is shut down at the end of the test. */
function newServer(security: Security): grpcfd.Server {
  const memfds = new MemfdMaker(workplace().bin);
  const sets: Promise<SampleSet>[] = [];
  const newSet = () => {
    const made = SampleSet.create(memfds);
    sets.push(made);
    return made;
  };
  const server = new grpcfd.Server();
  server.addService(exchangeService, exchange(security, newSet));
  server.addService(healthService, { Check: grpcfd.handler(() => ({ status: 'SERVING' })) });
  defer(async () => {
    await shutDown(server);
    await Promise.all(sets.map(async (set) => (await set).close()));
    memfds.close();
  });
  return server;
}

for (const security of SECURITIES) {
  test(`${security}: a Go client and a server at an inherited socket exchange files in every kind of call`, {
    skip: withoutGo,
  }, async () => {
    const path = join(temporaryDirectory(), 'inherited.sock');
    const credentials = serverCredentials(security, workplace().certs);
    await bind(newServer(security), `fd:${listeningSocket(path)}`, credentials);
    await exchangeAll(goClient(), security, `unix:${path}`);
  });

  test(`${security}: a Go client and a server exchange files over a socketpair in every kind of call`, {
    skip: withoutGo,
  }, async () => {
    const [a, b] = native.socketPair();
    const server = newServer(security);
    const connection = await server.serveConnection(a, serverCredentials(security, workplace().certs));
    const client = goClient({ inherited: [b] });
    native.close(b);
    await exchangeAll(client, security, 'passthrough:///fd:3');
    assert.equal(connection.peer, undefined);
    assert.ok(connection.stats().receivedFds > 0 && connection.stats().sentFds > 0);
  });
}

async function run(name: string): Promise<string[]> {
  const program = fileURLToPath(new URL(`../../examples/${name}.js`, import.meta.url));
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  assert.equal(code, 0);
  return output.trimEnd().split('\n');
}

test('The sandbox example serves a file to a child without rights, and tells who asks', async () => {
  const isRoot = process.getuid?.() === 0;
  const [uid, gid] = isRoot ? [65534, 65534] : [process.getuid?.(), process.getgid?.()];
  assert.deepEqual(await run('sandbox'), [
    isRoot
      ? 'the child cannot open the file itself: EACCES'
      : 'this process had no rights to drop, and can open the file itself',
    `unix:pid=…,uid=${uid},gid=${gid} asks for secret`,
    'the child has read: the secret',
    'the child has gone, and so has its connection',
  ]);
});

test('The socket-activation example answers calls that came before the service, and after it was killed', async () => {
  assert.deepEqual(await run('socket-activation'), [
    'socket files: sent before the service had started',
    'socket files: sent after the service was killed',
    'another process',
  ]);
});
