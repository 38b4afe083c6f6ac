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

test('a descriptor travels with the bytes that are written next', async () => {
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

test('descriptors nobody listens for are closed', async () => {
  const [a, b] = socketPair();
  const [readEnd, writeEnd] = native.testing.pipe();
  a.sendFd(writeEnd);
  closeSync(writeEnd);
  a.end('x');
  await text(b);
  // The last write end has gone, or this would be EAGAIN.
  assert.equal(readSync(readEnd, Buffer.alloc(1)), 0);
  closeSync(readEnd);
});

test("received descriptors are the listener's: destroying the socket leaves them open", async () => {
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

test('a descriptor that is none is refused at once', () => {
  const [a] = socketPair();
  const closed = native.duplicate(0);
  native.close(closed);
  for (const fd of [-1, closed]) assert.throws(() => a.sendFd(fd), { code: 'EBADF', syscall: 'fcntl' });
  for (const fd of [Number.NaN, 1.5, 2 ** 32, '0' as unknown as number]) {
    assert.throws(() => a.sendFd(fd), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  assert.equal(a.stats().pendingFds, 0);
});

test('descriptors that no write follows reject when the socket ends, and nothing is left unhandled', async () => {
  const [a, b] = socketPair();
  const sent = a.sendFd(0);
  a.sendFd(0);
  a.end();
  await assert.rejects(sent, { code: 'ECANCELED', syscall: 'sendmsg' });
  b.resume();
  await once(b, 'end');
  await assert.rejects(a.sendFd(0), { code: 'EPIPE' });
});

test('descriptors that wait reject when the socket is destroyed', async () => {
  const [a] = socketPair();
  const sent = a.sendFd(0);
  a.destroy();
  await assert.rejects(sent, { code: 'ECANCELED' });
  await assert.rejects(a.sendFd(0), { code: 'ECANCELED' });
});

test('cork, many writes and uncork are one write', async () => {
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

test('a writer is held back by a reader that does not read', async () => {
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

test('a reader that stops is not sent more than its buffer takes', async () => {
  const [a, b] = socketPair({ highWaterMark: 10_000 });
  a.write(Buffer.alloc(1_000_000));
  b.once('readable', () => {});
  await once(b, 'readable');
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  assert.ok(b.stats().bytesRead <= 10_000 + 65_536, `${b.stats().bytesRead}`);
});

test('a long stream through pipeline', async () => {
  const [a, b] = socketPair();
  const chunks = Array.from({ length: 500 }, (_, index) => Buffer.alloc(index * 37, index));
  const [received] = await Promise.all([buffer(b), pipeline(Readable.from(chunks), a)]);
  assert.deepEqual(received, Buffer.concat(chunks));
});

test('half-close: one direction ends, the other goes on', async () => {
  const [a, b] = socketPair();
  a.end('question');
  b.on('data', (chunk) => assert.equal(chunk.toString(), 'question'));
  await once(b, 'end');
  assert.equal(b.destroyed, false);
  b.end('answer');
  assert.equal(await text(a), 'answer');
  await Promise.all([a, b].map((socket) => (socket.closed ? undefined : once(socket, 'close'))));
});

test('allowHalfOpen false: the end of one direction ends the other', async () => {
  const [a, b] = socketPair({ allowHalfOpen: false });
  a.resume();
  b.resume();
  a.end();
  await Promise.all([once(a, 'close'), once(b, 'close')]);
});

test('a peer that is gone', async () => {
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

test('a peer that dies with unread bytes', async () => {
  const [a, b] = socketPair();
  a.write('never read');
  b.destroy();
  a.resume();
  const [error] = (await once(a, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
  assert.equal(error.syscall, 'recvmsg');
});

test('destroying with a write and descriptors in progress', async () => {
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

test('strings, encodings and empty writes', async () => {
  const [a, b] = socketPair();
  a.write('');
  a.write('c3a9', 'hex');
  a.write(new Uint8Array([33]));
  a.end('ø', 'latin1');
  assert.deepEqual(await buffer(b), Buffer.from([0xc3, 0xa9, 33, 0xf8]));
});

test('the peer is known', () => {
  const [a] = socketPair();
  assert.deepEqual(a.peer, { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
});

test('what is no unix stream socket is refused, and stays with the caller', () => {
  const file = fileWith('');
  assert.throws(() => new FdSocket({ fd: file }), { code: 'ENOTSOCK' });
  writeSync(file, 'still open');
  assert.equal(contentOf(file), 'still open');
});

test('a listener of the fds event may destroy the socket', async () => {
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

test('empty chunks, more than the kernel takes pieces, before one that is not', async () => {
  const [a, b] = socketPair();
  a.cork();
  for (let count = 0; count < 1100; count++) a.write(Buffer.alloc(0));
  a.end('hello');
  a.uncork();
  assert.equal(await text(b), 'hello');
});
