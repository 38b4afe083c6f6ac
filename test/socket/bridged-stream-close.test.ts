import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { bridgedConnection } from '#src/grpc/internals/bridged-socket.js';
import { closeAll, native } from '#src/native/binding.js';
import { bridged, KINDS, netSocket, RawPeer, socketAndPeer, turn, turns } from '../support/bridged.js';
import { runFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

/** Events of a socket in their order. */
function record(socket: Socket): string[] {
  const log: string[] = [];
  for (const event of ['end', 'finish', 'close'] as const) socket.on(event, () => log.push(event));
  socket.on('error', (error: NodeJS.ErrnoException) => log.push(`error ${error.code}`));
  return log;
}

/** Takes everything, a little at a time. */
async function readSlowly(peer: RawPeer, log: string[], until: number): Promise<number> {
  let total = 0;
  for (let turnsLeft = 100_000; turnsLeft > 0; turnsLeft--) {
    const received = peer.receive(10_000);
    if (received === undefined) return total;
    if (typeof received === 'object') {
      total += received.bytes.length;
      closeAll(received.fds);
    } else if (received !== -11) return total;
    if (total < until) assert.ok(!log.includes('close'), `closed after ${total} of ${until}`);
    await turn();
  }
  return total;
}

for (const kind of KINDS) {
  for (const bytes of [1_000, 100_000, 400_000, 2_000_000]) {
    test(`${kind}: a graceful end delivers ${bytes} bytes to a slow reader, and is over only then`, async () => {
      const [socket, peer] = socketAndPeer(kind);
      const log = record(socket);
      socket.resume();
      socket.end(Buffer.alloc(bytes, 'x'));
      await turns();
      // The peer has ended its side, so nothing but our bytes keeps the socket open.
      peer.shutdown();
      await turns();
      // What the kernel's buffer holds is delivered whatever becomes of the socket.
      assert.equal(await readSlowly(peer, log, bytes - 250_000), bytes);
      if (!log.includes('close')) await once(socket, 'close');
      assert.deepEqual(
        log.filter((line) => line !== 'finish' && line !== 'end'),
        ['close'],
      );
    });
  }

  test(`${kind}: what was written before destroy() and fits into the kernel's buffer arrives`, async () => {
    const [socket, peer] = socketAndPeer(kind);
    socket.write(Buffer.alloc(100_000));
    socket.destroy();
    assert.equal((await peer.receiveAll()).length, 100_000);
  });

  test(`${kind}: destroy() with a reader that does not read closes at once, and the reader gets an end`, async () => {
    const [socket, peer] = socketAndPeer(kind);
    const log = record(socket);
    socket.write(Buffer.alloc(2_000_000));
    await turns();
    socket.destroy();
    await once(socket, 'close');
    assert.deepEqual(log, ['close']);
    const { length } = await peer.receiveAll();
    assert.ok(length > 100_000 && length < 900_000, String(length));
  });

  for (const moment of ['in the turn of the write', 'in its callback', 'a turn later'] as const) {
    test(`${kind}: destroy() ${moment} delivers what was written`, async () => {
      const [socket, peer] = socketAndPeer(kind);
      await new Promise<void>((resolve) => {
        socket.write('written', () => {
          if (moment === 'in its callback') socket.destroy();
          resolve();
        });
        if (moment === 'in the turn of the write') socket.destroy();
      });
      await turn();
      socket.destroy();
      assert.equal((await peer.receiveAll()).toString(), 'written');
    });
  }

  for (const [scenario, exitCode] of [
    ['exit', 0],
    ['exitLater', 0],
    ['throw', 1],
    ['end', 0],
    ['lastWords', 0],
    ['lastWordsOfFailure', 1],
    ['reallyExit', 0],
  ] as const) {
    test(`${kind}: a process that ends right after a write (${scenario}) delivers what was written`, async () => {
      const { code, stdout, stderr } = await runFixture('fixtures/bridged-exit.js', import.meta.url, [
        kind,
        scenario,
      ]);
      assert.deepEqual({ code, stdout }, { code: exitCode, stdout: '100000' }, stderr);
    });
  }

  test(`${kind}: a process that ends right after a write to a peer that has gone ends as it wants to`, async () => {
    const result = await runFixture('fixtures/bridged-exit.js', import.meta.url, [kind, 'nobody']);
    assert.deepEqual(result, { code: 0, signal: null, stdout: '', stderr: '' });
  });

  for (const [scenario, expected] of [
    ['idle', 'stays'],
    ['unref', 'exits'],
    ['paused', 'exits'],
    ['destroyed', 'exits'],
    ['blocked', 'stays'],
    ['blocked-unref', 'stays'],
    ['blocked-paused', 'stays'],
    ['blocked-destroyed', 'exits'],
  ] as const) {
    test(`${kind}: a process with a socket that is ${scenario} ${expected}`, async () => {
      const result = await runFixture('fixtures/bridged-ref.js', import.meta.url, [kind, scenario]);
      assert.deepEqual(result, { code: 0, signal: null, stdout: expected, stderr: '' });
    });
  }
}

test('a descriptor that waits for bytes settles when the socket closes', async () => {
  const [a, b] = native.socketPair();
  const { socket, stream, closed } = bridged(a);
  const peer = new RawPeer(b);
  const fd = native.duplicate(0);
  const sent = new Promise<void>((resolve, reject) => {
    stream.queueDescriptor({
      fd,
      settle: (error) => {
        native.close(fd);
        if (error) reject(error);
        else resolve();
      },
    });
  });
  socket.destroy();
  await assert.rejects(sent, { code: 'ECANCELED' });
  assert.deepEqual(closed, [false]);
  assert.equal((await peer.receiveAll()).length, 0);
});

for (const kinds of [
  ['bridged', 'bridged'],
  ['bridged', 'stock'],
  ['stock', 'bridged'],
] as const) {
  test(`${kinds.join(' and ')}: two ends that close with their buffers full do not wait for each other`, async () => {
    const sockets = native.socketPair().map((fd, index) => netSocket(kinds[index] ?? 'stock', fd));
    for (const socket of sockets) {
      socket.on('error', () => {});
      socket.pause();
      socket.write(Buffer.alloc(2_000_000));
    }
    await turns(20);
    // The descriptors are compared after the test, long before a connection gives up.
    for (const socket of sockets) socket.destroy();
  });
}

test('a graceful end delivers what was taken out of the pair with descriptors, and is over only then', async () => {
  const [a, b] = native.socketPair();
  native.testing.setSendBuffer(a, 1);
  const { socket, stream } = bridged(a);
  const peer = new RawPeer(b);
  const log = record(socket);
  const [fd = -1] = native.duplicateAll([0]);
  stream.queueDescriptor({ fd, settle: () => native.close(fd) });
  socket.resume();
  socket.end(Buffer.alloc(60_000, 'x'));
  await turns();
  peer.shutdown();
  await turns();
  assert.equal(await readSlowly(peer, log, 40_000), 60_000);
  if (!log.includes('close')) await once(socket, 'close');
});

test('A connection whose listener throws as it closes is closed all the same, and its bytes are sent', async () => {
  const [a, b] = native.socketPair();
  const onClosed = () => {
    throw new Error('from onClosed');
  };
  const { socket, stream } = bridgedConnection(a, false, { onDescriptors: closeAll, onClosed });
  const peer = new RawPeer(b);
  socket.write(Buffer.alloc(100_000));
  const failed = once(socket, 'error');
  socket.destroy();
  assert.match(String(await failed), /from onClosed/);
  assert.equal(stream.isOpen, false);
  assert.equal((await peer.receiveAll()).length, 100_000);
  peer.close();
});
