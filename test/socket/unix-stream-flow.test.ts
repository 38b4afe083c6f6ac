import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { constants } from 'node:os';
import { test } from 'node:test';
import { close, closeAll, native, SocketHandle } from '#src/native/binding.js';
import type { SocketHandle as Handle } from '#src/native/bridge-types.js';
import { arrivals } from '#src/socket/arrivals.js';
import { allClosed } from '../support/all-closed.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { Endpoint, endpoint, streamPair } from '../support/stream-pair.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** A sender with the smallest possible send buffer, and the other end, which the test reads itself. */
function tightPair(): [Endpoint, Handle] {
  const [a, b] = native.socketPair();
  native.testing.setSendBuffer(a, 1);
  const reader = new SocketHandle(b, () => {});
  defer(() => reader.close());
  return [endpoint(a), reader];
}

/** Reads from the descriptor until the socket is empty. */
function drain(reader: Handle, size = 65_536): { bytes: Buffer; fds: number[] } {
  const chunks: Buffer[] = [];
  const fds: number[] = [];
  for (;;) {
    const chunk = Buffer.alloc(size);
    const bytes = reader.receive(chunk, 0, arrivals.memory);
    fds.push(...arrivals.take());
    if (bytes <= 0) return { bytes: Buffer.concat(chunks), fds };
    chunks.push(chunk.subarray(0, bytes));
  }
}

/** Fills the socket until it takes no further byte. Returns the number of bytes. */
function fill(writer: Handle): number {
  let total = 0;
  for (let size = 4096; size >= 1; ) {
    const result = writer.send([Buffer.alloc(size, '.')], size, new Int32Array(), 0);
    if (result >= 0) total += result;
    else size = size === 1 ? 0 : size / 2;
  }
  return total;
}

test('After EAGAIN no descriptor has been sent, and all are sent when there is room', async () => {
  const [a, b] = native.socketPair();
  const filler = new SocketHandle(native.duplicate(a), () => {});
  defer(() => filler.close());
  const reader = new SocketHandle(b, () => {});
  defer(() => reader.close());
  const filled = fill(filler);
  const sender = endpoint(a);
  const file = fileWith('kept');
  const sent = sender.queueOwned(file);
  const written = sender.write('payload');
  assert.equal(sender.stream.pendingFds, 1);
  assert.equal(sender.stream.bytesWritten, 0);

  const before = drain(reader);
  assert.equal(before.bytes.length, filled);
  assert.deepEqual(before.fds, []);
  await Promise.all([sent, written]);
  const after = drain(reader);
  assert.equal(after.bytes.toString(), 'payload');
  assert.deepEqual(after.fds.map(contentOf), ['kept']);
});

test('After a partial write the descriptors have been sent, and the remaining bytes follow', async () => {
  const [sender, reader] = tightPair();
  const payload = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
  const sent = sender.queueOwned(fileWith('gone with the first byte'));
  const written = sender.write(payload);
  assert.equal(sender.stream.pendingFds, 0);
  assert.ok(sender.stream.bytesWritten > 0 && sender.stream.bytesWritten < payload.length);
  await sent;

  const received: Buffer[] = [];
  let finished = false;
  const done = written.then(() => {
    finished = true;
  });
  const fds: number[] = [];
  while (!finished) {
    const part = drain(reader, 1000);
    received.push(part.bytes);
    fds.push(...part.fds);
    await new Promise(setImmediate);
  }
  await done;
  const rest = drain(reader);
  assert.deepEqual(Buffer.concat([...received, rest.bytes]), payload);
  assert.deepEqual(fds.map(contentOf), ['gone with the first byte']);
  assert.deepEqual(rest.fds, []);
});

test('Descriptors that are queued during a blocked write travel with the rest of that write', async () => {
  const [sender, reader] = tightPair();
  const written = sender.write(Buffer.alloc(100_000));
  const sent = sender.queueOwned(fileWith('late'));
  const fds: number[] = [];
  let settled = false;
  written.then(() => {
    settled = true;
  });
  while (!settled) {
    fds.push(...drain(reader).fds);
    await new Promise(setImmediate);
  }
  await sent;
  fds.push(...drain(reader).fds);
  assert.deepEqual(fds.map(contentOf), ['late']);
});

test('A write may have more chunks than one sendmsg takes, empty ones among them', async () => {
  const [a, b] = streamPair();
  const pieces = Array.from({ length: 5_000 }, (_, index) => (index % 7 === 0 ? '' : `${index},`));
  await a.write(...pieces);
  const expected = pieces.join('');
  await b.until(() => b.bytes.length >= expected.length);
  assert.equal(b.bytes.toString(), expected);
});

test('100 MiB with descriptors at many places arrive complete and in order', async () => {
  const [a, b] = native.socketPair();
  native.testing.setSendBuffer(a, 50_000);
  const sender = endpoint(a);
  const hash = createHash('sha256');
  const identities: bigint[] = [];
  let received = 0;
  const receiver = new Endpoint(b);
  defer(() => receiver.close());
  receiver.chunks.push = (...chunks: Buffer[]) => {
    for (const chunk of chunks) {
      hash.update(chunk);
      received += chunk.length;
    }
    identities.push(...native.identify(receiver.fds).filter((_, index) => index % 2 === 1));
    closeAll(receiver.takeFds());
    return 0;
  };
  receiver.stream.readStart();

  const files = Array.from({ length: 20 }, (_, index) => fileWith(`${index}`));
  defer(() => closeAll(files));
  const expected = createHash('sha256');
  const expectedIdentities: bigint[] = [];
  const total = 100 * 1024 * 1024;
  const block = Buffer.alloc(1024 * 1024);
  let seed = 1;
  for (let sent = 0; sent < total; sent += block.length) {
    for (let index = 0; index < block.length; index += 4) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      block.writeUInt32LE(seed, index);
    }
    expected.update(block);
    for (let count = seed % 150; count > 0; count--) {
      const file = files[count % files.length] ?? -1;
      sender.queue(file);
      expectedIdentities.push(...native.identify([file]).subarray(1));
    }
    const cut = seed % block.length;
    await sender.write(block.subarray(0, cut), block.subarray(cut));
  }
  await receiver.until(() => received === total);
  assert.equal(hash.digest('hex'), expected.digest('hex'));
  assert.deepEqual(identities, expectedIdentities);
  assert.equal(sender.stream.bytesWritten, total);
  assert.equal(receiver.stream.bytesRead, total);
});

test('Later reads do not overwrite chunks that were handed out', async () => {
  const [a, b] = streamPair();
  for (let index = 0; index < 100; index++) {
    await a.write(Buffer.alloc(3_000, index));
    await b.until(() => b.chunks.reduce((sum, { length }) => sum + length, 0) === (index + 1) * 3_000);
  }
  const bytes = b.bytes;
  for (let index = 0; index < 100; index++) {
    assert.ok(bytes.subarray(index * 3_000, (index + 1) * 3_000).every((byte) => byte === index));
  }
});

test('Nothing is read before readStart or after readStop', async () => {
  const [a, b] = native.socketPair();
  const sender = endpoint(a);
  const receiver = new Endpoint(b);
  defer(() => receiver.close());
  await sender.write('one');
  await new Promise(setImmediate);
  assert.deepEqual(receiver.log, []);
  receiver.stream.readStart();
  receiver.stream.readStart();
  await receiver.until(() => receiver.bytes.length === 3);
  receiver.stream.readStop();
  receiver.stream.readStop();
  await sender.write('two');
  await new Promise(setImmediate);
  assert.equal(receiver.bytes.toString(), 'one');
  receiver.stream.readStart();
  await receiver.until(() => receiver.bytes.length === 6);
});

test('readStop in the middle of a burst takes effect at once', async () => {
  const [a, b] = native.socketPair();
  const sender = endpoint(a);
  const receiver = new Endpoint(b);
  defer(() => receiver.close());
  for (let index = 0; index < 5; index++) {
    sender.queue(0);
    await sender.write('x');
  }
  receiver.chunks.push = () => {
    receiver.stream.readStop();
    return 0;
  };
  for (let index = 1; index <= 5; index++) {
    receiver.stream.readStart();
    await receiver.until(() => receiver.fds.length === index);
    await new Promise(setImmediate);
    assert.equal(receiver.fds.length, index);
  }
});

test('one busy socket does not starve another', async () => {
  const [a, b] = streamPair();
  const [c, d] = streamPair();
  let busy = true;
  const load = (async () => {
    const block = Buffer.alloc(4 * 1024 * 1024);
    while (busy) await a.write(block);
  })();
  for (let index = 1; index <= 50; index++) {
    await c.write('ping');
    await d.until(() => d.bytes.length === 4 * index);
    b.chunks.length = 0;
  }
  busy = false;
  await load;
});

test('Each direction of a stream ends by itself', async () => {
  const [a, b] = streamPair();
  await a.write('last words');
  await a.shutdown();
  await b.until(() => b.ended);
  assert.equal(b.bytes.toString(), 'last words');
  assert.equal(a.ended, false);
  b.queue(0);
  await b.write('answer');
  await b.shutdown();
  await a.until(() => a.ended);
  assert.equal(a.bytes.toString(), 'answer');
  assert.equal(a.fds.length, 1);
});

test('shutdown() waits for the running write', async () => {
  const [sender, reader] = tightPair();
  const written = sender.write(Buffer.alloc(100_000));
  const shut = sender.shutdown();
  let total = 0;
  let finished = false;
  shut.then(() => {
    finished = true;
  });
  while (!finished) {
    total += drain(reader).bytes.length;
    await new Promise(setImmediate);
  }
  await written;
  total += drain(reader).bytes.length;
  assert.equal(total, 100_000);
  assert.equal(reader.receive(Buffer.alloc(1), 0, arrivals.memory), 0);
});

test('shutdown() rejects descriptors that no byte follows, and later descriptors and writes', async () => {
  const [a, b] = streamPair();
  const late = a.queue(0);
  await a.shutdown();
  await assert.rejects(late, { code: 'ECANCELED' });
  await assert.rejects(a.queue(0), { code: 'EPIPE' });
  await assert.rejects(a.write('x'), { code: 'EPIPE', syscall: 'sendmsg', errno: -constants.errno.EPIPE });
  await b.until(() => b.ended);
});

test('When the peer has gone, a write fails, and the bytes that the peer had sent are still read', async () => {
  const [a, b] = native.socketPair();
  const receiver = new Endpoint(b);
  defer(() => receiver.close());
  const peer = new Endpoint(a);
  await peer.write('farewell');
  peer.close();
  await allClosed();
  const sent = receiver.queue(0);
  await assert.rejects(receiver.write('x'), { code: 'EPIPE' });
  await assert.rejects(sent, { code: 'EPIPE' });
  receiver.stream.readStart();
  await receiver.until(() => receiver.ended);
  assert.equal(receiver.bytes.toString(), 'farewell');
});

test('When the peer dies with unread bytes, its own bytes are read before the reset is reported', async () => {
  const [a, b] = native.socketPair();
  const receiver = new Endpoint(b);
  defer(() => receiver.close());
  const peer = new Endpoint(a);
  await receiver.write('never read');
  await peer.write('farewell');
  peer.close();
  receiver.stream.readStart();
  await receiver.until(() => receiver.error !== undefined || receiver.ended);
  assert.deepEqual(receiver.log, ['data 8', 'error ECONNRESET']);
});

test('A blocked write fails when the peer dies', async () => {
  const [sender, reader] = tightPair();
  const written = sender.write(Buffer.alloc(1_000_000));
  reader.close();
  await assert.rejects(written, (error: NodeJS.ErrnoException) => /EPIPE|ECONNRESET/.test(error.code ?? ''));
  await assert.rejects(sender.shutdown(), (error: NodeJS.ErrnoException) =>
    /EPIPE|ECONNRESET/.test(error.code ?? ''),
  );
});

test('A second write during a blocked write fails an assertion', async () => {
  const [sender] = tightPair();
  const written = sender.write(Buffer.alloc(100_000));
  await assert.rejects(sender.write('x'), { code: 'ERR_ASSERTION' });
  sender.close();
  await assert.rejects(written, { code: 'ECANCELED' });
});

test('A descriptor that is not a unix stream socket is refused, and the caller keeps it', () => {
  const file = fileWith('');
  assert.throws(() => new Endpoint(file), { code: 'ENOTSOCK', syscall: 'getsockopt' });
  assert.throws(() => new Endpoint(-1), { code: 'EBADF' });
  close(file);
});
