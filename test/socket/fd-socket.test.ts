import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { mock, test } from 'node:test';
import { FdSocket } from 'grpcfd/socket';
import { closeAll, native } from '#src/native/binding.js';
import { UnixStream } from '#src/socket/unix-stream.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { descriptorsOf, socketPair } from '../support/socket-pair.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

test('A descriptor travels with the next bytes that are written', async () => {
  const [a, b] = socketPair();
  const fds = descriptorsOf(b);
  const file = fileWith('content');
  const sent = a.sendFd(file);
  closeSync(file);
  assert.equal(a.stats().pendingFds, 1);
  a.end('hello');
  assert.equal(await text(b), 'hello');
  await sent;
  assert.deepEqual(fds.splice(0).map(contentOf), ['content']);
  assert.deepEqual(a.stats(), {
    bytesRead: 0,
    bytesWritten: 5,
    receivedFds: 0,
    sentFds: 1,
    pendingFds: 0,
  });
  assert.equal(b.stats().receivedFds, 1);
});

test('Descriptors are closed when the fds event has no listener', async () => {
  const [a, b] = socketPair();
  const [readEnd, writeEnd] = native.testing.pipe();
  a.sendFd(writeEnd);
  closeSync(writeEnd);
  a.end('x');
  await text(b);
  // The last write end is closed; otherwise this would be EAGAIN.
  assert.equal(readSync(readEnd, Buffer.alloc(1)), 0);
  closeSync(readEnd);
});

test('Received descriptors belong to the listener, and stay open when the socket is destroyed', async () => {
  const [a, b] = socketPair();
  a.sendFd(0);
  a.write('x');
  b.resume();
  const [fds, truncated] = (await once(b, 'fds')) as [number[], boolean];
  assert.equal(truncated, false);
  b.destroy();
  await once(b, 'close');
  assert.deepEqual(native.identify(fds), native.identify([0]));
  closeAll(fds);
});

test('A number that is not an open descriptor is refused at once', () => {
  const [a] = socketPair();
  const closed = native.duplicate(0);
  closeSync(closed);
  for (const fd of [-1, closed]) assert.throws(() => a.sendFd(fd), { code: 'EBADF', syscall: 'fcntl' });
  for (const fd of [Number.NaN, 1.5, 2 ** 32, '0' as unknown as number]) {
    assert.throws(() => a.sendFd(fd), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  assert.equal(a.stats().pendingFds, 0);
});

test('Sends of descriptors that no write follows are rejected when the socket ends, without an unhandled rejection', async () => {
  const [a, b] = socketPair();
  const sent = a.sendFd(0);
  a.sendFd(0);
  a.end();
  await assert.rejects(sent, { code: 'ECANCELED', syscall: 'sendmsg' });
  b.resume();
  await once(b, 'end');
  await assert.rejects(a.sendFd(0), { code: 'EPIPE' });
});

test('Sends of waiting descriptors are rejected when the socket is destroyed', async () => {
  const [a] = socketPair();
  const sent = a.sendFd(0);
  a.destroy();
  await assert.rejects(sent, { code: 'ECANCELED' });
  await assert.rejects(a.sendFd(0), { code: 'ECANCELED' });
});

test('All writes between cork() and uncork() leave in one sendmsg', async () => {
  const [a, b] = socketPair();
  const write = mock.method(UnixStream.prototype, 'write');
  defer(() => write.mock.restore());
  a.cork();
  for (const piece of ['one ', 'two ', 'three']) a.write(piece);
  process.nextTick(() => a.uncork());
  const [chunk] = (await once(b, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'one two three');
  assert.equal(write.mock.callCount(), 1);
});

test('A writer gets backpressure from a reader that does not read', async () => {
  const [a, b] = socketPair({ highWaterMark: 10_000 });
  const chunk = Buffer.alloc(100_000, 'x');
  let written = 0;
  while (a.write(chunk)) written++;
  await new Promise(setImmediate);
  assert.ok(a.writableNeedDrain);
  assert.ok(written < 20);
  assert.equal(b.stats().bytesRead, 0);
  const drained = once(a, 'drain');
  b.resume();
  await drained;
});

test('A paused socket reads no more than its buffer takes', async () => {
  const [a, b] = socketPair({ highWaterMark: 10_000 });
  a.write(Buffer.alloc(1_000_000));
  b.once('readable', () => {});
  await once(b, 'readable');
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  assert.ok(b.stats().bytesRead <= 10_000 + 65_536, `${b.stats().bytesRead}`);
});

test('pipeline() copies a long stream', async () => {
  const [a, b] = socketPair();
  const chunks = Array.from({ length: 500 }, (_, index) => Buffer.alloc(index * 37, index));
  const [received] = await Promise.all([buffer(b), pipeline(Readable.from(chunks), a)]);
  assert.deepEqual(received, Buffer.concat(chunks));
});

test('One direction of a socket can end while the other one goes on', async () => {
  const [a, b] = socketPair();
  a.end('question');
  b.on('data', (chunk) => assert.equal(chunk.toString(), 'question'));
  await once(b, 'end');
  assert.equal(b.destroyed, false);
  b.end('answer');
  assert.equal(await text(a), 'answer');
  await Promise.all([a, b].map((socket) => (socket.closed ? undefined : once(socket, 'close'))));
});

test('With allowHalfOpen false, the end of one direction ends the other one', async () => {
  const [a, b] = socketPair({ allowHalfOpen: false });
  a.resume();
  b.resume();
  a.end();
  await Promise.all([once(a, 'close'), once(b, 'close')]);
});

test('A write to a peer that has gone fails with EPIPE', async () => {
  const [a, b] = socketPair();
  b.destroy();
  await once(b, 'close');
  a.write('x');
  const [error] = (await once(a, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'EPIPE');
  assert.equal(error.errno, -constants.errno.EPIPE);
  assert.equal(error.syscall, 'sendmsg');
  assert.equal(error.message, 'EPIPE: broken pipe, sendmsg');
  assert.ok(a.destroyed);
});

test('A peer that dies with unread bytes causes ECONNRESET', async () => {
  const [a, b] = socketPair();
  a.write('never read');
  b.destroy();
  a.resume();
  const [error] = (await once(a, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
  assert.equal(error.syscall, 'recvmsg');
});

test('Destroying a socket settles a running write and waiting descriptors', async () => {
  const [a] = socketPair();
  const written = new Promise<Error | null | undefined>((resolve) => {
    a.write(Buffer.alloc(10_000_000), resolve);
  });
  const sent = a.sendFd(0);
  const reason = new Error('enough');
  a.on('error', () => {});
  a.destroy(reason);
  assert.ok((await written) instanceof Error);
  await assert.rejects(sent, { code: 'ECANCELED' });
  assert.equal(a.errored, reason);
});

test('A socket writes strings in any encoding, and empty chunks', async () => {
  const [a, b] = socketPair();
  a.write('');
  a.write('c3a9', 'hex');
  a.write(new Uint8Array([33]));
  a.end('ø', 'latin1');
  assert.deepEqual(await buffer(b), Buffer.from([0xc3, 0xa9, 33, 0xf8]));
});

test('A socket knows the credentials of its peer', () => {
  const [a] = socketPair();
  assert.deepEqual(a.peer, { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
});

test('A descriptor that is not a unix stream socket is refused, and the caller keeps it', () => {
  const file = fileWith('');
  assert.throws(() => new FdSocket({ fd: file }), { code: 'ENOTSOCK' });
  writeSync(file, 'still open');
  assert.equal(contentOf(file), 'still open');
});

test('A listener of the fds event may destroy the socket', async () => {
  const [a, b] = socketPair();
  a.sendFd(0);
  a.end('never seen');
  b.on('data', () => assert.fail('data after destroy'));
  const [fds] = await new Promise<[number[]]>((resolve) => {
    b.once('fds', (received) => {
      b.destroy();
      resolve([received]);
    });
  });
  closeAll(fds);
});

test('A chunk with bytes arrives after more empty chunks than one sendmsg takes', async () => {
  const [a, b] = socketPair();
  a.cork();
  for (let count = 0; count < 1100; count++) a.write(Buffer.alloc(0));
  a.end('hello');
  a.uncork();
  assert.equal(await text(b), 'hello');
});
