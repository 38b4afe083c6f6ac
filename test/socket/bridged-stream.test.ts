import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { closeAll, native } from '#src/native/binding.js';
import type { BridgedStream } from '#src/socket/bridged-stream.js';
import { bridged, KINDS, netSocket, RawPeer, turns } from '../support/bridged.js';
import { runFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

function ends() {
  const [a, b] = native.socketPair();
  return { ...bridged(a), peer: new RawPeer(b) };
}

/** Queues a duplicate. The promise is that of its settling. */
function queue(stream: BridgedStream, fd: number): Promise<void> {
  return queueOwned(stream, native.duplicate(fd));
}

function queueOwned(stream: BridgedStream, fd: number): Promise<void> {
  const sent = new Promise<void>((resolve, reject) => {
    const settle = (error: Error | null) => {
      closeAll([fd]);
      if (error) reject(error);
      else resolve();
    };
    stream.queueDescriptor({ fd, settle });
  });
  sent.catch(() => {});
  return sent;
}

async function receive(peer: RawPeer, size?: number): Promise<{ bytes: string; fds: number[] }> {
  for (;;) {
    const received = peer.receive(size);
    if (received === undefined) assert.fail('the end');
    if (typeof received === 'object') return { bytes: received.bytes.toString(), fds: received.fds };
    await turns(1);
  }
}

test('descriptors ride on the bytes that are written after them, and on no earlier ones that have gone', async () => {
  const { socket, stream, peer } = ends();
  socket.write('before');
  assert.deepEqual(await receive(peer), { bytes: 'before', fds: [] });
  const sent = queueOwned(stream, fileWith('a file'));
  await turns();
  assert.equal(peer.receive(), -11);
  assert.equal(stream.pendingFds, 1);
  socket.write('with');
  const { bytes, fds } = await receive(peer);
  await sent;
  assert.deepEqual([bytes, fds.map(contentOf)], ['with', ['a file']]);
  socket.write('after');
  assert.deepEqual(await receive(peer), { bytes: 'after', fds: [] });
  assert.deepEqual([stream.sentFds, stream.pendingFds], [1, 0]);
  assert.equal(stream.bytesWritten, 'beforewithafter'.length);
});

test('what Node writes while it is given bytes has been sent when its answer is over', async () => {
  const { socket, stream, peer } = ends();
  const events: string[] = [];
  const note = (event: string) => events.push(`${event}, ${stream.bytesWritten} bytes sent`);
  socket.on('data', () => {
    stream.afterAnswer(() => {
      note('over');
      void queueOwned(stream, fileWith('a file'));
      socket.write('next');
    });
    note('given');
    socket.write('answer');
  });
  assert.equal(peer.send('question'), 8);
  const answer = await receive(peer, 'answer'.length);
  assert.deepEqual([answer.bytes, answer.fds], ['answer', []]);
  const next = await receive(peer);
  assert.deepEqual([next.bytes, next.fds.map(contentOf)], ['next', ['a file']]);
  assert.deepEqual(events, ['given, 0 bytes sent', 'over, 6 bytes sent']);
  // Outside of a read, there is no answer to wait for.
  stream.afterAnswer(() => note('at once'));
  assert.equal(events.length, 3);
  socket.destroy();
  stream.afterAnswer(() => note('closed'));
  assert.equal(events.length, 3);
});

test('descriptors that are queued in the turn of a write through the pair go with it', async () => {
  const { socket, stream, peer } = ends();
  const sent = [queue(stream, 0)];
  socket.write('written first');
  sent.push(queue(stream, 0));
  const { bytes, fds } = await receive(peer);
  closeAll(fds);
  await Promise.all(sent);
  assert.deepEqual([bytes, fds.length], ['written first', 2]);
});

test('n bytes carry at most 64 n descriptors, and what is left rides on the next write', async () => {
  const { socket, stream, peer } = ends();
  const sent = Array.from({ length: 150 }, () => queue(stream, 0));
  const messages: [string, number][] = [];
  const take = async (count: number) => {
    for (let index = 0; index < count; index++) {
      const { bytes, fds } = await receive(peer);
      closeAll(fds);
      messages.push([bytes, fds.length]);
    }
  };
  socket.write('1');
  await take(1);
  assert.equal(stream.pendingFds, 86);
  socket.write('234');
  await take(2);
  await Promise.all(sent);
  assert.deepEqual(messages, [
    ['1', 64],
    ['2', 64],
    ['34', 22],
  ]);
});

test('descriptors keep their places among the bytes, however the kernel takes them', async () => {
  const [a, b] = native.socketPair();
  native.testing.setSendBuffer(a, 1);
  const { socket, stream } = bridged(a);
  const peer = new RawPeer(b);
  let written = '';
  const files: string[] = [];
  for (let index = 0; index < 200; index++) {
    const text = `<${index}>`.padEnd(1 + ((index * 37) % 900), '.');
    if (index % 3 === 0) {
      queueOwned(stream, fileWith(String(index)));
      files.push(String(index));
    }
    written += text;
    socket.write(text);
    if (index % 7 === 0) await turns(1);
  }
  let received = '';
  const contents: string[] = [];
  while (received.length < written.length) {
    const { bytes, fds } = await receive(peer, 700);
    received += bytes;
    contents.push(...fds.map(contentOf));
  }
  assert.equal(received, written);
  assert.deepEqual(contents, files);
});

for (const kind of KINDS) {
  test(`${kind}: a peer that does not read holds the writer up, and memory is bounded`, async () => {
    const [a, b] = native.socketPair();
    const socket = netSocket(kind, a);
    const peer = new RawPeer(b);
    const piece = Buffer.alloc(50_000, 'x');
    let finished = 0;
    for (let index = 0; index < 100; index++) socket.write(piece, () => finished++);
    await turns(50);
    // The socket's buffer; with a bridge, that of the pair, and what the addon took out of it.
    assert.ok(finished * piece.length < (kind === 'stock' ? 300_000 : 900_000), String(finished));
    assert.equal(socket.writableNeedDrain, true);
    const stopped = finished;
    await turns(50);
    assert.equal(finished, stopped);
    socket.end();
    assert.equal((await peer.receiveAll()).length, 100 * piece.length);
    assert.equal(finished, 100);
  });

  test(`${kind}: bytes flow both ways at once`, async () => {
    const [a, b] = native.socketPair();
    const socket = netSocket(kind, a);
    const peer = netSocket('stock', b);
    peer.pipe(peer);
    const sent = Buffer.from(
      Array.from({ length: 3_000_000 }, (_, index) => (index * 7 + (index >> 8)) & 0xff),
    );
    const received: Buffer[] = [];
    socket.on('data', (chunk) => received.push(chunk));
    socket.end(sent);
    await once(socket, 'close');
    assert.ok(Buffer.concat(received).equals(sent));
  });

  test(`${kind}: what the peer sends while reading is paused waits, and holds the peer up`, async () => {
    const [a, b] = native.socketPair();
    const socket = netSocket(kind, a);
    const peer = netSocket('stock', b);
    socket.pause();
    const sent = Buffer.alloc(2_000_000, 'abcdefg');
    peer.end(sent);
    await turns(20);
    assert.ok(peer.writableLength > 1_000_000);
    assert.ok(socket.readableLength < 200_000);
    const received: Buffer[] = [];
    socket.on('data', (chunk) => received.push(chunk));
    socket.resume();
    await once(socket, 'close');
    assert.ok(Buffer.concat(received).equals(sent));
  });
}

test('a flood of descriptors in both directions loses none, and none of the bytes', async () => {
  const [a, b] = native.socketPair();
  let arrived = 0;
  const count = (fds: number[]) => {
    arrived += fds.length;
    closeAll(fds);
  };
  const one = bridged(a, { onDescriptors: count });
  const two = bridged(b, { onDescriptors: count });
  const sums = [0, 0];
  const sent: Promise<void>[] = [];
  for (const [index, end] of [one, two].entries()) {
    end.socket.on('data', (chunk) => {
      sums[index] = (sums[index] ?? 0) + chunk.length;
    });
    defer(() => end.socket.destroy());
  }
  for (let round = 0; round < 300; round++) {
    for (const { socket, stream } of [one, two]) {
      for (let fd = 0; fd < 3; fd++) sent.push(queue(stream, 0));
      socket.write(Buffer.alloc(1 + ((round * 977) % 5_000)));
    }
    if (round % 10 === 0) await turns(1);
  }
  one.socket.end();
  two.socket.end();
  await Promise.all([once(one.socket, 'close'), once(two.socket, 'close'), ...sent]);
  const total = Array.from({ length: 300 }, (_, round) => 1 + ((round * 977) % 5_000)).reduce(
    (x, y) => x + y,
  );
  assert.deepEqual([arrived, ...sums], [1_800, total, total]);
});

test('a connection that was blocked once, and is idle, keeps no memory for it', async (t) => {
  if (process.env['ASAN_OPTIONS']) return t.skip('a sanitizer keeps what is freed');
  const { stdout, stderr } = await runFixture('fixtures/bridged-memory.js', import.meta.url);
  assert.ok(Number(stdout) < 100, `${stdout} KiB for each connection ${stderr}`);
  return undefined;
});
