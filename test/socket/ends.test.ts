/** When a socket closes by itself: after the ends of both sides, whoever reads. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { connect, type FdSocket, listen } from 'grpcfd/socket';
import { turns } from '../support/bridged.js';
import { runFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { pipeTo } from '../support/pipe.js';
import { descriptorsOf, socketPair } from '../support/socket-pair.js';
import { temporaryDirectory } from '../support/temporary.js';
import { settledWithin } from '../support/until.js';

trackDescriptors();

const SOON_MS = 5_000;

/** All that a socket receives. (A consumer of node:stream would destroy it.) */
async function textOf(socket: FdSocket): Promise<string> {
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes;
  });
  await once(socket, 'end');
  return text;
}

test('connections whose client ends and reads nothing, and whose server reads and ends nothing, leave no descriptor', async () => {
  const path = `${temporaryDirectory()}/socket`;
  const closed: Promise<unknown>[] = [];
  const listener = await listen({ path });
  defer(() => listener.close());
  listener.on('connection', (socket) => {
    closed.push(once(socket, 'close'));
    socket.on('fds', (received) => received.forEach(closeSync));
    socket.resume();
  });
  for (let count = 0; count < 20; count++) {
    const socket = await connect(path);
    closed.push(once(socket, 'close'));
    socket.writeWithFds('standard input', [0]);
    socket.end();
  }
  await settledWithin(SOON_MS, 'all close', Promise.all(closed));
  assert.equal(closed.length, 40);
});

test('a socket that has ended, and that nobody reads, waits for the end of its peer', async () => {
  const [a, b] = socketPair();
  const closed = Promise.all([once(a, 'close'), once(b, 'close')]);
  a.end('question');
  assert.equal(await textOf(b), 'question');
  await settledWithin(SOON_MS, 'both close', closed);
});

test('what a peer sent before its end is there for one who reads later', async () => {
  const [a, b] = socketPair();
  const closed = Promise.all([once(a, 'close'), once(b, 'close')]);
  const { given: sent, end } = pipeTo((into) => b.writeWithFds('answer', [into]));
  assert.equal(sent, true);
  b.end();
  a.end();
  await once(a, 'finish');
  await turns();
  assert.deepEqual([a.destroyed, a.readableEnded], [false, false]);
  const fds = descriptorsOf(a);
  assert.equal(await textOf(a), 'answer');
  assert.equal(fds.length, 1);
  fds.splice(0).forEach(closeSync);
  assert.equal(await end(), '');
  await settledWithin(SOON_MS, 'both close', closed);
});

test('a socket ends by itself after its peer, a turn after the event', async () => {
  const [a, b] = socketPair();
  const closed = Promise.all([once(a, 'close'), once(b, 'close')]);
  a.resume();
  b.resume();
  a.end();
  await once(b, 'end');
  assert.equal(b.writable, true, 'an answer can still be written');
  await settledWithin(SOON_MS, 'both close', closed);
});

test('with allowHalfOpen true, it stays open until its user ends it', async () => {
  const [a, b] = socketPair({ allowHalfOpen: true });
  const closed = Promise.all([once(a, 'close'), once(b, 'close')]);
  a.end();
  b.resume();
  await once(b, 'end');
  await turns();
  assert.equal(b.writable, true);
  b.end('late');
  assert.equal(await textOf(a), 'late');
  await settledWithin(SOON_MS, 'both close', closed);
});

test('a process does not wait for the end of a peer from which it reads nothing', async () => {
  const path = `${temporaryDirectory()}/socket`;
  const sockets: FdSocket[] = [];
  const listener = await listen({ path }, (socket) => {
    sockets.push(socket);
    defer(() => socket.destroy());
  });
  defer(() => listener.close());
  const ended = runFixture('fixtures/ending-client.js', import.meta.url, [path], {}, SOON_MS);
  const { code, stdout } = await ended;
  assert.deepEqual([code, stdout], [0, 'finished\n']);
  assert.equal(sockets.length, 1);
});

test('a listener that throws loses neither the bytes of its message nor those of the next', async () => {
  const { code, stdout, stderr } = await runFixture('fixtures/throwing-listener.js', import.meta.url);
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), {
    received: 'first second third',
    thrown: ['for fds', 'for data'],
    descriptors: ['a', 'b'],
  });
});
