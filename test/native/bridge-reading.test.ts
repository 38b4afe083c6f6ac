// What the bridge leans on in Node and libuv, which must hold on each version of Node (native/bridge.h): how a net.Socket reads. What
// a stock net.Socket can show as well, is shown by one.
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { test } from 'node:test';
import { closeAll } from '#src/native/binding.js';
import { handleOf, KINDS, socketAndPeer, turns } from '../support/bridged.js';
import { leaveFree, liftLimit } from '../support/descriptor-limit.js';
import { defer, trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

const NODE = Number(process.versions.node.split('.')[0]);

/** More than one read takes, and less than a socket buffers. */
const LARGE = Buffer.alloc(180_000, 'abcdefghijklm');

for (const kind of KINDS) {
  test(`${kind}: nothing is delivered while reading is stopped, and all of it, in order, when it starts again`, async () => {
    const [socket, peer] = socketAndPeer(kind);
    const received: Buffer[] = [];
    socket.on('data', (chunk) => received.push(chunk));
    for (let round = 0; round < 5; round++) {
      handleOf(socket).readStop();
      received.length = 0;
      for (let offset = 0; offset < LARGE.length; offset += 30_000) {
        assert.equal(peer.send(LARGE.subarray(offset, offset + 30_000)), 30_000);
        await turns(3);
      }
      assert.equal(received.length, 0);
      handleOf(socket).readStart();
      while (Buffer.concat(received).length < LARGE.length) await once(socket, 'data');
      assert.ok(Buffer.concat(received).equals(LARGE));
    }
  });

  test(`${kind}: reading that stops and starts in the middle of the data loses nothing`, async () => {
    const [socket, peer] = socketAndPeer(kind);
    const received: Buffer[] = [];
    socket.on('data', (chunk) => {
      received.push(chunk);
      const handle = handleOf(socket);
      handle.readStop();
      if (received.length % 3 === 0) handle.readStart();
      else if (received.length % 3 === 1) setImmediate(() => handle.readStart());
      else queueMicrotask(() => handle.readStart());
    });
    assert.equal(peer.send(LARGE), LARGE.length);
    peer.close();
    await once(socket, 'close');
    assert.ok(Buffer.concat(received).equals(LARGE));
  });

  test(`${kind}: ticks and promises run between two chunks, and immediates after them`, async () => {
    const [socket, peer] = socketAndPeer(kind);
    await turns();
    const log: string[] = [];
    socket.on('data', (chunk) => {
      log.push(`data ${chunk.length}`);
      process.nextTick(() => log.push('tick'));
      queueMicrotask(() => log.push('promise'));
      setImmediate(() => log.push('immediate'));
    });
    socket.on('end', () => log.push('end'));
    assert.equal(peer.send(LARGE), LARGE.length);
    peer.close();
    await once(socket, 'close');
    const each = (size: number) => [`data ${size}`, 'tick', 'promise'];
    const chunks = [...each(65_536), ...each(65_536), ...each(LARGE.length - 2 * 65_536)];
    assert.deepEqual(
      log.filter((line) => line !== 'immediate'),
      [...chunks, 'end'],
    );
    assert.deepEqual(log.slice(0, 9), chunks);
  });

  test(`${kind}: the end comes in the same turn as the last data when the peer has closed`, async (t) => {
    if (kind === 'stock' && NODE >= 24) return t.skip('libuv reports the end one turn later there');
    const [socket, peer] = socketAndPeer(kind);
    await turns();
    const log: string[] = [];
    socket.on('data', () => {
      log.push('data');
      setImmediate(() => log.push('next turn'));
    });
    socket.on('end', () => log.push('end'));
    peer.send('last words');
    peer.close();
    await once(socket, 'close');
    await turns();
    assert.deepEqual(log, ['data', 'end', 'next turn']);
  });

  test(`${kind}: data comes in the asynchronous context of the socket`, async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const [, peer] = storage.run('of the socket', () => {
      const [socket, peer] = socketAndPeer(kind);
      socket.on('data', () => seen.push(storage.getStore()));
      socket.on('end', () => seen.push(storage.getStore()));
      return [socket, peer];
    });
    await turns();
    peer.send('x');
    await turns();
    peer.shutdown();
    while (seen.length < 2) await turns(1);
    assert.deepEqual(seen, ['of the socket', 'of the socket']);
  });

  for (const [words, paused] of [
    ['', false],
    ['', true],
    ['last words', false],
    ['last words', true],
  ] as const) {
    const how = `${words || 'nothing'}, ${paused ? 'not reading' : 'reading'}`;
    test(`${kind}: a peer that closes with our data unread ends the socket, after what it had sent: ${how}`, async () => {
      const [socket, peer] = socketAndPeer(kind);
      const log: string[] = [];
      socket.on('data', (chunk) => log.push(chunk.toString()));
      socket.on('end', () => log.push('end'));
      socket.on('error', (error: NodeJS.ErrnoException) => log.push(`${error.syscall} ${error.code}`));
      const closed = new Promise((resolve) => socket.on('close', resolve));
      await new Promise((resolve) => socket.write('unread', resolve));
      await turns();
      if (paused) handleOf(socket).readStop();
      if (words !== '') peer.send(words);
      peer.close();
      await turns();
      if (paused) handleOf(socket).readStart();
      await closed;
      // The libuv of Node 20 and 22 takes a hang-up behind a read that did not fill its memory for the end. So does a bridge, on every
      // version: a GOAWAY and a reset together would give calls INTERNAL.
      const endsPlainly = words !== '' && (kind === 'bridged' || NODE < 24);
      const end = endsPlainly ? 'end' : 'read ECONNRESET';
      assert.deepEqual(log, [...(words ? [words] : []), end]);
    });
  }

  test(`${kind}: each side may end on its own, and the other goes on`, async () => {
    const [socket, peer] = socketAndPeer(kind, { allowHalfOpen: true });
    socket.end('a request');
    assert.equal((await peer.receiveAll()).toString(), 'a request');
    const answer: string[] = [];
    socket.on('data', (chunk) => answer.push(chunk.toString()));
    peer.send('an answer');
    await once(socket, 'data');
    peer.shutdown();
    await once(socket, 'close');
    assert.deepEqual(answer, ['an answer']);
  });

  test(`${kind}: what is written after the peer has ended its side arrives`, async () => {
    const [socket, peer] = socketAndPeer(kind, { allowHalfOpen: true });
    peer.shutdown();
    socket.resume();
    await once(socket, 'end');
    socket.end('after the end');
    assert.equal((await peer.receiveAll()).toString(), 'after the end');
  });

  for (const way of ['destroy', 'throw'] as const) {
    test(`${kind}: ${way} in the middle of a read`, async () => {
      const [socket, peer] = socketAndPeer(kind);
      let chunks = 0;
      const uncaught = new Promise<unknown>((resolve) =>
        process.setUncaughtExceptionCaptureCallback(resolve),
      );
      defer(() => process.setUncaughtExceptionCaptureCallback(null));
      socket.on('data', () => {
        chunks++;
        if (way === 'destroy') socket.destroy();
        else if (chunks === 1) throw new Error('from a listener');
      });
      assert.equal(peer.send(LARGE), LARGE.length);
      peer.shutdown();
      await once(socket, 'close');
      assert.equal(chunks, way === 'destroy' ? 1 : 3);
      if (way === 'throw') assert.equal(((await uncaught) as Error).message, 'from a listener');
    });
  }
}

test('descriptors are told before the bytes that they came with, and in no other order', async () => {
  const log: string[] = [];
  const [socket, peer] = socketAndPeer('bridged', {
    onDescriptors: (fds: number[]) => {
      closeAll(fds);
      log.push(`${fds.length} descriptors`);
      Promise.resolve().then(() => log.push('promise'));
    },
  });
  socket.on('data', (chunk) => log.push(chunk.toString()));
  handleOf(socket).readStop();
  peer.send('one ');
  peer.send('two', [0]);
  peer.send('three', [0, 0]);
  peer.send('four');
  await turns();
  assert.equal(log.length, 0);
  handleOf(socket).readStart();
  while (log.at(-1) !== 'four') await once(socket, 'data');
  assert.deepEqual(log, ['1 descriptors', 'one two', 'promise', '2 descriptors', 'three', 'promise', 'four']);
});

test('a message brings as many descriptors as the kernel allows', async () => {
  const counts: number[] = [];
  const [socket, peer] = socketAndPeer('bridged', {
    onDescriptors: (fds: number[], truncated: boolean) => {
      closeAll(fds);
      counts.push(fds.length);
      assert.equal(truncated, false);
    },
  });
  assert.equal(peer.send('x', new Array(253).fill(0)), 1);
  const [data] = await once(socket, 'data');
  assert.deepEqual([data.toString(), counts], ['x', [253]]);
});

test('descriptors that the kernel dropped, since the table was full, are told, and their bytes arrive', async () => {
  const told: [number, boolean][] = [];
  const [socket, peer] = socketAndPeer('bridged', {
    onDescriptors: (fds: number[], truncated: boolean) => {
      closeAll(fds);
      told.push([fds.length, truncated]);
    },
  });
  peer.send('x', new Array(10).fill(0));
  leaveFree(3);
  defer(liftLimit);
  const [data] = await once(socket, 'data');
  liftLimit();
  assert.deepEqual([data.toString(), told], ['x', [[3, true]]]);
  peer.send('y', [0]);
  await once(socket, 'data');
  assert.deepEqual(told, [
    [3, true],
    [1, false],
  ]);
});
