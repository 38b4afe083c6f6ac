import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { after, test } from 'node:test';
import { closeAll, native } from '#src/native/binding.js';
import type { BridgedStream } from '#src/socket/bridged-stream.js';
import { bridged, handleOf, KINDS, RawPeer, socketAndPeer, turns } from '../support/bridged.js';
import { runFixture } from '../support/child.js';
import { leaveFree, liftLimit } from '../support/descriptor-limit.js';
import { failingSendmsg } from '../support/failing-sendmsg.js';
import { defer, trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

// Half open sockets at their end keep no process.
const alive = setInterval(() => {}, 1_000);
after(() => clearInterval(alive));

const SO_PASSRIGHTS = 83;

function record(socket: Socket): string[] {
  const log: string[] = [];
  socket.on('data', (chunk) => log.push(`data ${chunk}`));
  for (const event of ['end', 'close'] as const) socket.on(event, () => log.push(event));
  socket.on('error', (error: NodeJS.ErrnoException) => log.push(`error ${error.code}`));
  return log;
}

function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.on('close', resolve));
}

function queue(stream: BridgedStream): Promise<void> {
  const fd = native.duplicate(0);
  return new Promise<void>((resolve, reject) => {
    stream.queueDescriptor({
      fd,
      settle: (error) => {
        closeAll([fd]);
        if (error) reject(error);
        else resolve();
      },
    });
  });
}

for (const kind of KINDS) {
  test(`${kind}: a write to a peer that has gone ends the connection`, async () => {
    const [socket, peer] = socketAndPeer(kind);
    const log = record(socket);
    const gone = closed(socket);
    peer.close();
    socket.write('x', () => {});
    await gone;
    assert.equal(log.at(-1), 'close');
  });

  test(`${kind}: a peer that goes while a write is under way and reading is stopped ends the connection`, async () => {
    const [socket, peer] = socketAndPeer(kind);
    const gone = closed(socket);
    record(socket);
    socket.write(Buffer.alloc(2_000_000));
    handleOf(socket).readStop();
    await turns();
    // HTTP/2 stops reading while its write is not finished, and starts again when it is.
    socket.once('drain', () => handleOf(socket)?.readStart());
    peer.close();
    await gone;
  });

  test(`${kind}: half open: a write after the end of a peer that has gone ends the connection`, async () => {
    const [socket, peer] = socketAndPeer(kind, { allowHalfOpen: true });
    const log = record(socket);
    const gone = closed(socket);
    peer.close();
    await once(socket, 'end');
    await turns();
    assert.deepEqual(log, ['end']);
    socket.write('x', () => {});
    await gone;
    assert.equal(log[0], 'end');
    assert.match(log[1] ?? '', /^error EPIPE/);
    assert.equal(log[2], 'close');
  });

  test(`${kind}: a hang-up does not disturb what came before it, while reading is stopped`, async () => {
    const [socket, peer] = socketAndPeer(kind);
    const log = record(socket);
    handleOf(socket).readStop();
    peer.send('last words');
    peer.close();
    await turns(20);
    assert.deepEqual(log, []);
    const gone = closed(socket);
    handleOf(socket).readStart();
    await gone;
    assert.deepEqual(log, ['data last words', 'end', 'close']);
  });
}

test('after a failed write through the pair, what the peer had sent before is delivered', async () => {
  const [a, b] = native.socketPair();
  const { socket, stream } = bridged(a);
  const peer = new RawPeer(b);
  const log = record(socket);
  const gone = closed(socket);
  peer.send('an answer');
  peer.close();
  const sent = queue(stream);
  for (let index = 0; index < 5; index++) socket.write('a request that nobody reads');
  await assert.rejects(sent, /EPIPE/);
  await gone;
  assert.equal(log[0], 'data an answer');
  assert.equal(log.at(-1), 'close');
});

test('descriptors that wait are settled when the peer goes', async () => {
  const [a, b] = native.socketPair();
  const { socket, stream } = bridged(a);
  record(socket);
  const gone = closed(socket);
  const sent = [queue(stream), queue(stream)];
  native.close(b);
  for (const promise of sent) await assert.rejects(promise, /EPIPE|ECANCELED/);
  await assert.rejects(queue(stream), /EPIPE|ECANCELED/);
  await gone;
});

test('a peer that takes no descriptors (SO_PASSRIGHTS) gets the bytes, and the descriptors fail', async (t) => {
  const [a, b] = native.socketPair();
  const { socket, stream } = bridged(a);
  const peer = new RawPeer(b);
  try {
    native.testing.setSocketOption(b, SO_PASSRIGHTS, 0);
  } catch {
    return t.skip('Linux before 6.16 has no SO_PASSRIGHTS');
  }
  const sent = [queue(stream), queue(stream)];
  for (const promise of sent) promise.catch(() => {});
  socket.write('the bytes ');
  await turns();
  for (const promise of sent) await assert.rejects(promise, { code: 'EPERM', syscall: 'sendmsg' });
  await assert.rejects(queue(stream), { code: 'EPERM' });
  socket.end('and more');
  assert.equal((await peer.receiveAll()).toString(), 'the bytes and more');
  return undefined;
});

for (const errno of ['EIO', 'EPERM', 'EBADF', 'EMFILE', 'ECONNRESET']) {
  for (const scenario of ['bytes', 'descriptors'] as const) {
    test(`a sendmsg with ${scenario} that fails with ${errno} ends the connection, after what had come`, async (t) => {
      const preload = failingSendmsg();
      if (preload === undefined) return t.skip('no C compiler here');
      const result = await runFixture('fixtures/bridged-failure.js', import.meta.url, [scenario, errno], {
        LD_PRELOAD: preload,
      });
      const expected = ['data an answer', ...(scenario === 'descriptors' ? [`settled ${errno}`] : [])];
      assert.deepEqual(
        result.stdout.trim().split('\n').sort(),
        [...expected, 'close', `error ${errno}`].sort(),
      );
      assert.deepEqual([result.code, result.stderr], [0, '']);
      return undefined;
    });
  }
}

for (const errno of ['ENOMEM', 'ENOBUFS', 'ETOOMANYREFS']) {
  test(`a sendmsg that fails with ${errno} a few times is tried again, and the peer notices nothing`, async (t) => {
    const preload = failingSendmsg();
    if (preload === undefined) return t.skip('no C compiler here');
    const args = ['transient', errno];
    const result = await runFixture('fixtures/bridged-failure.js', import.meta.url, args, {
      LD_PRELOAD: preload,
    });
    assert.deepEqual(result, { code: 0, signal: null, stdout: 'the peer got 300000, and 1\n', stderr: '' });
    return undefined;
  });
}

test('a connection that cannot be made, since the descriptor table is full, leaves nothing behind', async () => {
  defer(liftLimit);
  for (const free of [0, 1]) {
    const [a, b] = native.socketPair();
    leaveFree(free);
    assert.throws(() => bridged(a), { code: 'EMFILE' });
    liftLimit();
    const peer = new RawPeer(b);
    assert.equal((await peer.receiveAll()).length, 0);
  }
});
