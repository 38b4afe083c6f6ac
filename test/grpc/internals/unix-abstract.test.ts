import assert from 'node:assert/strict';
import * as net from 'node:net';
import { test } from 'node:test';
import { listen } from 'grpcfd/socket';
import { trackDescriptors } from '../../support/fd-table.js';

trackDescriptors();

test('Node pads abstract names before version 22, and never since', async () => {
  const name = `\0grpcfd-padding-${process.pid}`;
  const listener = await listen({ path: name }, (socket) => socket.destroy());
  const socket = net.connect(name);
  const outcome = await new Promise((resolve) => {
    socket.once('connect', () => resolve('connected'));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
  });
  socket.destroy();
  await listener.close();
  const [major = 0] = process.versions.node.split('.').map(Number);
  assert.equal(outcome, major < 22 ? 'ECONNREFUSED' : 'connected');
});
