// A close that takes an hour, of what lies unread in a socket, or came without a listener. The event loop goes on.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { listen } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { allClosed } from '../support/all-closed.js';
import { bridged, RawPeer, turns } from '../support/bridged.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { hanging, lingering } from '../support/hanging-close.js';
import { socketOver, socketPair } from '../support/socket-pair.js';
import { temporaryDirectory } from '../support/temporary.js';
import { settledWithin } from '../support/until.js';

trackDescriptors();

const SOON_MS = 5_000;

test('an FdSocket without a listener for descriptors', async () => {
  const { fd, letGo } = lingering();
  const [a, b] = socketPair();
  b.resume();
  a.writeWithFds('x', [fd]);
  closeSync(fd);
  await hanging(1);
  letGo();
  await allClosed();
});

test("an FdSocket that is destroyed with a descriptor unread, and whose 'close' comes all the same", async () => {
  const { fd, letGo } = lingering();
  const [a, b] = native.socketPair();
  const peer = new RawPeer(a);
  const socket = socketOver(b);
  peer.send('x', [fd]);
  closeSync(fd);
  socket.destroy();
  await settledWithin(SOON_MS, "'close' comes", once(socket, 'close'));
  await hanging(1);
  letGo();
  await allClosed();
});

test('a connection that is destroyed with a descriptor unread, and that its peer finds reset', async () => {
  const { fd, letGo } = lingering();
  const [a, b] = native.socketPair();
  const peer = new RawPeer(b);
  const { socket } = bridged(a);
  socket.pause();
  await turns();
  peer.send('x'.repeat(200_000));
  await turns();
  peer.send('y', [fd]);
  closeSync(fd);
  socket.destroy();
  await hanging(1);
  letGo();
  await allClosed();
  await assert.rejects(peer.receiveAll(), { code: 'ECONNRESET' });
});

test('a listener that is closed with a connection that it has not accepted, and that brings a descriptor', async () => {
  const { fd, letGo } = lingering();
  const path = join(temporaryDirectory(), 'listener');
  const listener = await listen({ path }, () => {});
  defer(() => listener.close());
  const peer = new RawPeer(native.connectUnix(Buffer.from(path)));
  peer.send('x', [fd]);
  closeSync(fd);
  await listener.close();
  await hanging(1);
  letGo();
  await allClosed();
});

test('a connection without unread bytes closes before close() returns, and its peer finds the end', async () => {
  const [a, b] = native.socketPair();
  const peer = new RawPeer(b);
  const { socket } = bridged(a);
  await turns();
  socket.destroy();
  assert.equal(native.pendingCloses(), 0);
  assert.equal(peer.receive(), undefined);
});
