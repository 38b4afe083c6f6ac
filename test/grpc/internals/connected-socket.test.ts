import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as net from 'node:net';
import { test } from 'node:test';
import { isUnixSocket, takeConnection } from '#src/grpc/internals/connected-socket.js';
import { trackDescriptors } from '../../support/fd-table.js';
import { temporaryDirectory } from '../../support/temporary.js';

trackDescriptors();

const CHANGED = { reason: 'ERR_GRPCFD_INTERNALS_CHANGED', message: /Node v|grpc-js/ };

test('a connected unix socket is known, and can be taken over before anything is read', async () => {
  const path = `${temporaryDirectory()}/s`;
  const server = net.createServer((peer) => peer.end('first bytes')).listen(path);
  await once(server, 'listening');
  const socket = net.connect(path);
  await once(socket, 'connect');
  assert.equal(isUnixSocket(socket), true);
  const fd = takeConnection(socket);
  assert.equal(socket.destroyed, true);
  const taken = new net.Socket({ fd });
  const [chunk] = (await once(taken, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'first bytes');
  taken.destroy();
  server.close();
  await once(server, 'close');
});

test('a TCP socket is no unix socket, and one without a handle cannot be taken', async () => {
  const server = net.createServer().listen(0, 'localhost');
  await once(server, 'listening');
  const socket = net.connect((server.address() as net.AddressInfo).port, 'localhost');
  await once(socket, 'connect');
  assert.equal(isUnixSocket(socket), false);
  socket.destroy();
  server.close();
  await once(server, 'close');
  assert.equal(isUnixSocket(new net.Socket()), false);
  assert.throws(() => takeConnection(new net.Socket()), CHANGED);
});
