import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { mock, test } from 'node:test';
import { closeFds, type FdSocket, identifyFds } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { UnixStream } from '#src/socket/unix-stream.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { randomFrom, seedOfThisRun } from '../support/random.js';
import { descriptorsOf, socketOver, socketPair } from '../support/socket-pair.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** A sender with the smallest possible send buffer, and a receiver that does not read yet. */
function tightPair(): [FdSocket, FdSocket] {
  const [a, b] = native.socketPair();
  native.testing.setSendBuffer(a, 1);
  return [socketOver(a), socketOver(b)];
}

function contents(fds: number[]): string[] {
  return fds.splice(0).map(contentOf);
}

function closed(): number {
  const fd = native.duplicate(0);
  closeSync(fd);
  return fd;
}

test('sendFds sends all descriptors together, and leaves them to the caller to close', async () => {
  const [a, b] = socketPair();
  const received = descriptorsOf(b);
  const files = ['one', 'two', 'three'].map(fileWith);
  const sent = a.sendFds(files);
  closeFds(files);
  assert.equal(a.stats().pendingFds, 3);
  a.end('hello');
  await sent;
  assert.equal(await text(b), 'hello');
  assert.deepEqual(contents(received), ['one', 'two', 'three']);
  assert.equal(a.stats().sentFds, 3);
});

test('sendFds without descriptors resolves', async () => {
  const [a] = socketPair();
  await a.sendFds([]);
});

test('A callback that is not a function is refused before anything is sent', () => {
  const [a] = socketPair();
  assert.throws(() => a.writeWithFds('no', [0], 'callback' as unknown as () => void), {
    code: 'ERR_INVALID_ARG_TYPE',
  });
  const { bytesWritten, sentFds, pendingFds } = a.stats();
  assert.deepEqual([bytesWritten, sentFds, pendingFds], [0, 0, 0]);
});

test('One invalid descriptor in a list prevents all descriptors and all bytes from being sent', async () => {
  const [a, b] = socketPair();
  const received = descriptorsOf(b);
  const fds = [0, closed(), 0];
  assert.throws(() => a.sendFds(fds), { code: 'EBADF', syscall: 'fcntl' });
  assert.throws(() => a.writeWithFds('no', fds), { code: 'EBADF', syscall: 'fcntl' });
  for (const fd of [Number.NaN, 1.5, 2 ** 32, '0', null]) {
    assert.throws(() => a.sendFds([fd as number]), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => a.writeWithFds('no', [0, fd as number]), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  for (const list of [0, undefined, { length: 1 }]) {
    assert.throws(() => a.writeWithFds('no', list as number[]), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  assert.throws(() => a.writeWithFds(7 as unknown as string, [0]), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.equal(a.stats().pendingFds, 0);
  a.end('yes');
  assert.equal(await text(b), 'yes');
  assert.equal(received.length, 0);
});

test('sendFds rejects when its descriptors are never carried, and counts those that were sent', async () => {
  const [a, b] = socketPair();
  const received = descriptorsOf(b);
  const sent = a.sendFds(Array.from({ length: 70 }, () => 0));
  a.end('x');
  await assert.rejects(sent, { code: 'ECANCELED' });
  await text(b);
  assert.equal(received.length, 64);
  assert.equal(a.stats().sentFds, 64);
});

test('writeWithFds sends bytes and descriptors at once, without a further write', async () => {
  const [a, b] = socketPair();
  const received = descriptorsOf(b);
  const write = mock.method(UnixStream.prototype, 'write');
  defer(() => write.mock.restore());
  const file = fileWith('content');
  let calls = 0;
  assert.equal(
    a.writeWithFds('bytes', [file, file], (error) => {
      assert.equal(error, null);
      calls++;
    }),
    true,
  );
  assert.equal(calls, 0, 'a callback is never called before the function returns');
  closeSync(file);
  const { bytesWritten, sentFds, pendingFds } = a.stats();
  assert.deepEqual([bytesWritten, sentFds, pendingFds], [5, 2, 0]);
  a.end();
  assert.equal(await text(b), 'bytes');
  assert.deepEqual(contents(received), ['content', 'content']);
  assert.equal(calls, 1);
  assert.equal(write.mock.callCount(), 0);
});

test('writeWithFds without descriptors is a plain write', async () => {
  const [a, b] = socketPair();
  a.writeWithFds(new Uint8Array([104, 105]), []);
  a.end();
  assert.equal(await text(b), 'hi');
});

test('With a full send buffer, writeWithFds duplicates the descriptors and keeps their place in the order', async () => {
  const [a, b] = tightPair();
  const received = descriptorsOf(b);
  const names = Array.from({ length: 300 }, (_, index) => `${index}`);
  const done: string[] = [];
  let wrote = true;
  for (const name of names) {
    const file = fileWith(name);
    wrote = a.writeWithFds(name.padEnd(1000), [file], (error) => {
      assert.ok(!error);
      done.push(name);
    });
    closeSync(file);
  }
  assert.equal(wrote, false);
  assert.ok(a.stats().pendingFds > 0);
  a.end();
  assert.equal(await text(b), names.map((name) => name.padEnd(1000)).join(''));
  assert.deepEqual(contents(received), names);
  assert.deepEqual(done, names);
});

test('The descriptors of a chunk that the kernel takes in part travel with the first part', async () => {
  const [a, b] = tightPair();
  const received = descriptorsOf(b);
  const file = fileWith('content');
  const written = new Promise<unknown>((resolve) => {
    assert.equal(a.writeWithFds(Buffer.alloc(1_000_000, 'x'), [file], resolve), false);
  });
  closeSync(file);
  const { bytesWritten, sentFds, pendingFds } = a.stats();
  assert.ok(bytesWritten > 0 && bytesWritten < 1_000_000);
  assert.deepEqual([sentFds, pendingFds], [1, 0]);
  a.end();
  assert.equal((await text(b)).length, 1_000_000);
  assert.equal((await written) ?? null, null);
  assert.deepEqual(contents(received), ['content']);
});

test('More than 64 descriptors take several messages, or wait for more bytes', async () => {
  const [a, b] = socketPair();
  const batches: number[] = [];
  b.on('fds', (fds) => {
    batches.push(fds.length);
    closeFds(fds);
  });
  const waiting = new Promise<unknown>((resolve) => {
    a.writeWithFds(
      '12',
      Array.from({ length: 150 }, () => 0),
      resolve,
    );
  });
  assert.equal(a.stats().pendingFds, 150 - 128);
  // Behind those that wait: not at once, or they would overtake.
  a.writeWithFds('3', [0, 0]);
  a.end();
  assert.equal((await waiting) ?? null, null);
  assert.equal(await text(b), '123');
  assert.deepEqual(batches, [64, 64, 24]);
});

test('writeWithFds does not overtake bytes that were corked or queued before', async () => {
  const [a, b] = socketPair();
  const received = descriptorsOf(b);
  const [first, second, third] = ['first', 'second', 'third'].map(fileWith);
  a.sendFd(first ?? -1);
  a.cork();
  a.write('one ');
  a.writeWithFds('two ', [second ?? -1]);
  a.uncork();
  a.writeWithFds('three', [third ?? -1]);
  closeFds([first ?? -1, second ?? -1, third ?? -1]);
  a.end();
  assert.equal(await text(b), 'one two three');
  assert.deepEqual(contents(received), ['first', 'second', 'third']);
});

test('Descriptors of an empty chunk travel with the next chunk', async () => {
  const [a, b] = socketPair();
  const received = descriptorsOf(b);
  const order: string[] = [];
  a.writeWithFds('', [0], () => order.push('empty'));
  assert.equal(a.stats().pendingFds, 1);
  a.end('x');
  await text(b);
  assert.equal(received.length, 1);
  assert.deepEqual(order, ['empty']);
});

test('After end(), writeWithFds sends no descriptor and reports an error', async () => {
  const [a, b] = tightPair();
  const received = descriptorsOf(b);
  a.write(Buffer.alloc(100_000));
  a.end();
  const error = once(a, 'error');
  const told = new Promise<unknown>((resolve) => a.writeWithFds('late', [0], resolve));
  assert.equal(a.stats().pendingFds, 0);
  const [reason] = (await error) as [NodeJS.ErrnoException];
  assert.equal(reason.code, 'ERR_STREAM_WRITE_AFTER_END');
  assert.equal(await told, reason);
  b.resume();
  await once(b, 'end');
  assert.equal(received.length, 0);
});

test('On a destroyed socket, writeWithFds sends nothing and reports an error', async () => {
  const [a] = socketPair();
  a.destroy();
  const error = await new Promise<unknown>((resolve) => a.writeWithFds('late', [0], resolve));
  assert.equal((error as NodeJS.ErrnoException).code, 'ERR_STREAM_DESTROYED');
});

test('When the peer has gone, the callback of writeWithFds and the stream get the error', async () => {
  const [a, b] = socketPair();
  b.destroy();
  await once(b, 'close');
  const told = new Promise<unknown>((resolve) => a.writeWithFds('x', [0], resolve));
  const [error] = (await once(a, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'EPIPE');
  assert.equal(await told, error);
});

test('Destroying the socket while descriptors wait calls the callback with an error and closes the duplicates', async () => {
  const [a] = tightPair();
  a.write(Buffer.alloc(100_000));
  const told = new Promise<unknown>((resolve) => a.writeWithFds('x', [0, 0], resolve));
  assert.equal(a.stats().pendingFds, 2);
  a.destroy();
  assert.ok((await told) instanceof Error);
  assert.equal(a.stats().pendingFds, 0);
});

test('The callback reports a descriptor that the kernel refuses, and the bytes and the other descriptors arrive', async (t) => {
  let ring: number;
  try {
    ring = native.testing.ioUring();
  } catch {
    return t.skip('no io_uring here');
  }
  defer(() => native.close(ring));
  const [a, b] = socketPair();
  const received = descriptorsOf(b);
  const told = new Promise<unknown>((resolve) => a.writeWithFds('x', [0, ring, 0], resolve));
  a.end();
  assert.equal(await text(b), 'x');
  if (a.stats().sentFds === 3) return t.skip('this kernel sends them');
  assert.equal(((await told) as NodeJS.ErrnoException).code, 'EINVAL');
  assert.equal(received.length, 3, 'a placeholder keeps its place');
  assert.equal(a.stats().sentFds, 2);
  return undefined;
});

test('In any mix of writes, all bytes and descriptors arrive in order, and no descriptor arrives after its bytes', async (t) => {
  const firstSeed = seedOfThisRun();
  t.diagnostic(`seed ${firstSeed}`);
  for (let seed = firstSeed; seed < firstSeed + 20; seed++) {
    const next = randomFrom(seed);
    const [a, b] = seed % 2 === 0 ? socketPair() : tightPair();
    const files = Array.from({ length: 8 }, () => fileWith(''));
    const expected: number[] = [];
    /** For each number of bytes, the number of descriptors that must have arrived by then. */
    const due: { bytes: number; fds: number }[] = [];
    let bytes = 0;
    const pick = () => {
      const fds = Array.from({ length: next(4) === 0 ? next(80) : next(4) }, () => next(files.length));
      expected.push(...fds);
      return fds.map((index) => files[index] ?? -1);
    };
    const received: bigint[] = [];
    let got = 0;
    b.on('fds', (fds) => {
      for (const [index, value] of identifyFds(fds).entries()) if (index % 2 === 1) received.push(value);
      closeFds(fds);
    });
    b.on('data', (chunk: Buffer) => {
      got += chunk.length;
      for (; due[0] && due[0].bytes <= got; due.shift()) assert.ok(received.length >= due[0].fds);
    });
    for (let step = 0; step < 100; step++) {
      const chunk = Buffer.alloc(20 + next(next(10) === 0 ? 20_000 : 100), step);
      const kind = next(6);
      if (kind === 0) a.sendFds(pick());
      else if (kind === 1) a.cork();
      else if (kind === 2) a.uncork();
      else if (kind === 3) await new Promise(setImmediate);
      else {
        if (kind === 4) a.write(chunk);
        else a.writeWithFds(chunk, pick());
        bytes += chunk.length;
        // 20 bytes carry 1,280 descriptors: all that were queued until now.
        due.push({ bytes, fds: expected.length });
      }
    }
    a.sendFds(pick());
    while (a.writableCorked > 0) a.uncork();
    a.end(Buffer.alloc(1000));
    await once(b, 'end');
    assert.equal(got, bytes + 1000);
    const inodes = files.map((fd) => identifyFds([fd])[1]);
    assert.deepEqual(
      received,
      expected.map((index) => inodes[index]),
    );
    closeFds(files);
  }
});
