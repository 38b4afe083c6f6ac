// Node writes to the socket itself, unless descriptors are to travel with its bytes or the kernel takes no more: see native/bridge.h.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { closeAll, native, unguardAll } from '#src/native/binding.js';
import { ARRIVED, BRIDGE_EVENT, OUTGOING } from '#src/native/bridge-types.js';
import type { NativeBinding } from '#src/native/types.js';
import type { BridgedStream } from '#src/socket/bridged-stream.js';
import { type Bridged, bridged, RawPeer, type SocketOptions, turns } from '../support/bridged.js';
import { runFixture } from '../support/child.js';
import { defer, openDescriptors, trackDescriptors } from '../support/fd-table.js';
import { randomFrom } from '../support/random.js';
import { comesToRest } from '../support/rest.js';
import { contentOf, fileWith, temporaryDirectory } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 20_000;

interface PipeHandle {
  readonly fd: number;
  readStart(): number;
  readStop(): number;
}

function handleOf(socket: Socket): PipeHandle {
  return (socket as unknown as { _handle: PipeHandle })._handle;
}

/** How many numbers of this process stand for the file that Node writes to. The addon has one more of the socket, and none more of the near end. */
function isDirect(socket: Socket): boolean {
  const target = readlinkSync(`/proc/self/fd/${handleOf(socket).fd}`);
  return inodeOfPeerSide.get(socket) === target;
}
const inodeOfPeerSide = new WeakMap<Socket, string>();

function ends(options?: SocketOptions): Bridged & { peer: RawPeer } {
  const [a, b] = native.socketPair();
  const inode = readlinkSync(`/proc/self/fd/${a}`);
  const made = bridged(a, options);
  inodeOfPeerSide.set(made.socket, inode);
  return { ...made, peer: new RawPeer(b) };
}

/** What comes at the peer, until there are so many bytes. */
async function receive(peer: RawPeer, length: number): Promise<{ bytes: Buffer; fds: number[] }> {
  const chunks: Buffer[] = [];
  const fds: number[] = [];
  let bytes = 0;
  await within(HANG_MS, `${length} bytes come`, () => {
    const received = peer.receive();
    if (received === undefined) assert.fail('the end');
    if (typeof received === 'number') return false;
    chunks.push(received.bytes);
    fds.push(...received.fds);
    bytes += received.bytes.length;
    return bytes >= length;
  });
  return { bytes: Buffer.concat(chunks), fds };
}

function queue(stream: BridgedStream, fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null) => {
      closeAll([fd]);
      if (error) reject(error);
      else resolve();
    };
    stream.queueDescriptor({ fd, settle });
  });
}

/** After a first write. */
async function direct(made: Bridged & { peer: RawPeer }): Promise<void> {
  made.socket.write('first');
  assert.equal((await receive(made.peer, 5)).bytes.toString(), 'first');
  await within(HANG_MS, 'Node writes to the socket itself', () => isDirect(made.socket));
}

test('Node writes to the socket itself', async () => {
  const made = ends();
  await direct(made);
  made.socket.write('second');
  // In the same turn: nobody forwards anything.
  assert.equal((made.peer.receive() as { bytes: Buffer }).bytes.toString(), 'second');
  assert.equal(made.stream.bytesWritten, 'firstsecond'.length);
});

test('what Node writes in the turn in which its socket was made goes to the connection itself', async () => {
  // Those that are made in the first two turns have to wait.
  await direct(ends());
  const made = ends();
  made.socket.write('first');
  assert.equal((made.peer.receive() as { bytes: Buffer }).bytes.toString(), 'first');
  await nextTurn();
  made.socket.write('second');
  assert.equal((made.peer.receive() as { bytes: Buffer }).bytes.toString(), 'second');
  made.peer.send('answer');
  const [data] = await once(made.socket, 'data');
  assert.equal(data.toString(), 'answer');
});

test('with descriptors queued, Node writes to the pair, and to the socket again when they have gone', async () => {
  const made = ends();
  await direct(made);
  for (const content of ['one', 'two']) {
    const sent = queue(made.stream, fileWith(content));
    assert.equal(isDirect(made.socket), false);
    made.socket.write('with');
    const { bytes, fds } = await receive(made.peer, 4);
    await sent;
    assert.deepEqual([bytes.toString(), fds.map(contentOf)], ['with', [content]]);
    await within(HANG_MS, 'Node writes to the socket itself', () => isDirect(made.socket));
  }
  made.socket.write('after');
  assert.equal((made.peer.receive() as { bytes: Buffer }).bytes.toString(), 'after');
});

test('what the kernel does not take waits, and nothing overtakes it, with descriptors or without', async () => {
  const made = ends();
  await direct(made);
  const random = randomFrom(Date.now() % 2 ** 31);
  const chunks: Buffer[] = [];
  const contents: string[] = [];
  const fds: number[] = [];
  const sent: Promise<void>[] = [];
  let left = 0;
  for (let i = 0; i < 400; i++) {
    const chunk = Buffer.alloc(1 + random(60_000), `${i} `);
    chunks.push(chunk);
    left += chunk.length;
    if (random(10) === 0) {
      contents.push(`file ${i}`);
      sent.push(queue(made.stream, fileWith(`file ${i}`)));
    }
    made.socket.write(chunk);
    if (random(3) === 0) await nextTurn();
    // A peer that reads now and then.
    for (let reads = random(5); reads > 0; reads--) {
      const received = made.peer.receive();
      if (typeof received === 'number' || received === undefined) break;
      left -= received.bytes.length;
      check(received.bytes);
      fds.push(...received.fds);
    }
  }
  if (left > 0) {
    const rest = await receive(made.peer, left);
    check(rest.bytes);
    fds.push(...rest.fds);
  }
  await Promise.all(sent);
  assert.deepEqual(fds.map(contentOf), contents);
  await within(HANG_MS, 'Node writes to the socket itself', () => isDirect(made.socket));

  function check(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const [expected] = chunks;
      assert.ok(expected);
      const part = Math.min(expected.length, bytes.length - at);
      assert.ok(bytes.subarray(at, at + part).equals(expected.subarray(0, part)));
      if (part === expected.length) chunks.shift();
      else chunks[0] = expected.subarray(part);
      at += part;
    }
  }
});

test('what the kernel does not take stays with Node, and does not go through the pair', async () => {
  const made = ends();
  await direct(made);
  const content = Buffer.from(
    Uint32Array.from({ length: 500_000 }, (_, index) => Math.imul(index, 2654435761)).buffer,
  );
  for (let at = 0; at < content.length; at += 50_000) made.socket.write(content.subarray(at, at + 50_000));
  const chunks: Buffer[] = [];
  let bytes = 0;
  while (bytes < content.length) {
    // What is in the pair would be missing here.
    assert.ok(made.stream.bytesWritten + made.socket.writableLength >= content.length);
    await nextTurn();
    const received = made.peer.receive();
    if (typeof received !== 'object') continue;
    chunks.push(received.bytes);
    bytes += received.bytes.length;
  }
  assert.ok(Buffer.concat(chunks).equals(content));
  await within(HANG_MS, 'Node writes to the socket itself', () => isDirect(made.socket));
});

test('a write that the kernel does not take leaves the event loop at rest, and goes on when the peer reads', async () => {
  const made = ends();
  await direct(made);
  const size = 2_000_000;
  made.socket.write(Buffer.alloc(size));
  await comesToRest();
  // Some of it: the write still waits.
  let received = made.peer.receive();
  let bytes = typeof received === 'object' ? received.bytes.length : 0;
  await comesToRest();
  while (bytes < size / 2) {
    await nextTurn();
    received = made.peer.receive();
    if (typeof received === 'object') bytes += received.bytes.length;
  }
  await comesToRest();
  assert.equal((await receive(made.peer, size - bytes)).bytes.length, size - bytes);
});

test('a write that has waited for the kernel leaves the event loop at rest when Node reads nothing', async () => {
  const made = ends();
  await direct(made);
  handleOf(made.socket).readStop();
  await turns();
  for (let i = 0; i < 2; i++) {
    const size = 1_000_000;
    made.socket.write(Buffer.alloc(size));
    await turns();
    assert.equal((await receive(made.peer, size)).bytes.length, size);
    await comesToRest();
  }
  assert.ok(isDirect(made.socket));
});

test('a write that waits for the kernel goes on while Node stops and starts to read whenever something comes', async () => {
  const made = ends();
  await direct(made);
  const handle = handleOf(made.socket);
  made.socket.on('data', () => {
    handle.readStop();
    setImmediate(() => made.socket.destroyed || handle.readStart());
  });
  made.peer.send('x');
  let left = 1_000_000;
  made.socket.write(Buffer.alloc(left));
  for (let count = 0; left > 0; count++) {
    assert.ok(count < 1_000, 'the write waits for ever');
    made.peer.send('x');
    let received = made.peer.receive();
    for (; typeof received === 'object'; received = made.peer.receive()) left -= received.bytes.length;
    await nextTurn();
  }
});

test('a descriptor that is queued while a write waits for the kernel travels with bytes that are written later', async () => {
  const made = ends();
  await direct(made);
  const size = 1_000_000;
  made.socket.write(Buffer.alloc(size));
  await turns(3);
  const sent = queue(made.stream, fileWith('late'));
  made.socket.write('with');
  const { bytes, fds } = await receive(made.peer, size + 4);
  await sent;
  assert.deepEqual([bytes.subarray(size).toString(), fds.map(contentOf)], ['with', ['late']]);
  await within(HANG_MS, 'Node writes to the socket itself', () => isDirect(made.socket));
});

test('an end that is written behind what the kernel does not take comes behind it', async () => {
  const made = ends();
  await direct(made);
  const size = 2_000_000;
  made.socket.end(Buffer.alloc(size));
  assert.equal((await receive(made.peer, size)).bytes.length, size);
  await within(HANG_MS, 'the end comes', () => made.peer.receive() === undefined);
});

test('a peer that closes while a write waits for the kernel ends the connection', async () => {
  for (const reads of [false, true]) {
    const made = ends();
    if (reads) made.socket.resume();
    await direct(made);
    made.socket.on('error', () => {});
    made.socket.write(Buffer.alloc(1_000_000));
    await turns(3);
    const closed = new Promise<void>((resolve) => made.socket.once('close', () => resolve()));
    made.peer.close();
    if (!reads) made.socket.resume();
    await closed;
  }
});

test('Node may stop and start reading at any moment, and loses no descriptor', async () => {
  const contents: string[] = [];
  const arrived: number[] = [];
  const made = ends({ onDescriptors: (fds) => arrived.push(...fds) });
  let bytes = 0;
  made.socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await direct(made);
  const random = randomFrom(Date.now() % 2 ** 31);
  const handle = handleOf(made.socket);
  for (let i = 0; i < 300; i++) {
    const fd = fileWith(`${i}`);
    contents.push(`${i}`);
    assert.equal(made.peer.send(Buffer.from('x'), [fd]), 1);
    closeAll([fd]);
    for (let toggles = random(4); toggles > 0; toggles--) {
      handle.readStop();
      if (random(2) === 0) await nextTurn();
      handle.readStart();
      made.socket.write('answer');
      if (random(2) === 0) await nextTurn();
    }
    for (let received = made.peer.receive(); typeof received === 'object'; received = made.peer.receive());
  }
  await within(HANG_MS, 'all comes', () => bytes === 300);
  assert.deepEqual(arrived.map(contentOf), contents);
});

test('the end of what Node writes is that of the socket', async () => {
  const made = ends();
  await direct(made);
  made.socket.end('last');
  assert.equal((await receive(made.peer, 4)).bytes.toString(), 'last');
  await within(HANG_MS, 'the end comes', () => made.peer.receive() === undefined);
  // What would have to wait for bytes never travels.
  const late = queue(made.stream, fileWith('late'));
  made.peer.close();
  await assert.rejects(late, { code: 'ECANCELED' });
});

test('a peer that ends its side while Node writes directly leaves the event loop at rest', async () => {
  const made = ends({ allowHalfOpen: true });
  made.socket.resume();
  await direct(made);
  const ended = once(made.socket, 'end');
  made.peer.shutdown();
  await ended;
  await comesToRest();
  made.socket.end('answer');
  assert.equal((await receive(made.peer, 6)).bytes.toString(), 'answer');
  await within(HANG_MS, 'the end comes', () => made.peer.receive() === undefined);
});

test('a socket that Node destroys is closed, and its number is not touched afterwards', async () => {
  const made = ends();
  await direct(made);
  const { fd } = handleOf(made.socket);
  made.socket.destroy();
  await within(HANG_MS, 'the end comes', () => made.peer.receive() === undefined);
  await turns();
  const taken: number[] = [];
  while (!taken.includes(fd) && taken.length < 50) taken.push(native.duplicate(0));
  const before = openDescriptors();
  await turns();
  assert.deepEqual(openDescriptors(), before);
  closeAll(taken);
});

test('a socket that Node destroys is closed when what it left in the pair has been sent', async () => {
  const made = ends();
  await direct(made);
  const sent: Promise<void>[] = [];
  let written = 0;
  // Until something waits in the pair, where descriptors are to travel with it: it is with neither Node nor the kernel's socket.
  do {
    sent.push(queue(made.stream, fileWith('file')));
    made.socket.write(Buffer.alloc(100_000));
    written += 100_000;
    await turns(3);
  } while (made.stream.bytesWritten + made.socket.writableLength >= written);
  assert.equal(isDirect(made.socket), false);
  made.socket.destroy();
  // Sooner than the bridge would give up.
  await within(5_000, 'the end comes', () => {
    let received = made.peer.receive();
    for (; typeof received === 'object'; received = made.peer.receive()) closeAll(received.fds);
    return received === undefined;
  });
  await Promise.all(sent);
});

test('a callback of another copy of the addon may write to a socket before the event loop waits', async () => {
  const copy = join(temporaryDirectory(), 'grpcfd.node');
  copyFileSync(fileURLToPath(new URL('../../../native/build/Release/grpcfd.node', import.meta.url)), copy);
  const other = createRequire(import.meta.url)(copy) as Pick<NativeBinding, 'Bridge'>;
  const [socket, peer] = native.socketPair();
  const [near, far] = native.socketPair();
  unguardAll([socket, near, far]);
  const plain = new Socket({ fd: near });
  const size = 1_000_000;
  let wrote = false;
  const bridge = new other.Bridge(
    Int32Array.of(socket, far, near),
    new Int32Array(ARRIVED.LENGTH),
    (event) => {
      if (event !== BRIDGE_EVENT.OUTGOING) return;
      bridge.setOutgoing(OUTGOING.NATIVE);
      made.socket.write(Buffer.alloc(size));
      wrote = true;
    },
  );
  defer(() => {
    bridge.close();
    plain.destroy();
    closeAll([peer]);
  });
  // Later than the bridge of the copy, whose callback comes behind, if both stay as libuv puts them.
  await nextTurn();
  const made = ends();
  await direct(made);
  bridge.setOutgoing(OUTGOING.SCRIPT);
  plain.write('x');
  await within(HANG_MS, 'the copy calls back', () => wrote);
  assert.equal((await receive(made.peer, size)).bytes.length, size);
});

test('what comes with descriptors while Node writes directly is received with them', async () => {
  const arrived: number[] = [];
  const made = ends({ onDescriptors: (fds) => arrived.push(...fds) });
  defer(() => closeAll(arrived));
  made.socket.on('data', () => made.socket.write('answer'));
  await direct(made);
  for (let i = 0; i < 100; i++) {
    const fd = fileWith(`${i}`);
    made.peer.send(Buffer.from('question'), [fd]);
    closeAll([fd]);
    assert.equal((await receive(made.peer, 6)).bytes.toString(), 'answer');
  }
  assert.deepEqual(
    arrived.splice(0).map(contentOf),
    Array.from({ length: 100 }, (_, i) => `${i}`),
  );
});

test('a limit of descriptors that falls below the number costs the connection, and not the process', async () => {
  const result = await runFixture('./fixtures/lowered-limit.js', import.meta.url, [], {}, HANG_MS);
  assert.deepEqual(result, { code: 0, signal: null, stdout: 'the connection ended\n', stderr: '' });
});

test('a connection that another addon makes right before a wait of the event loop works', async () => {
  const result = await runFixture('./fixtures/made-before-wait.js', import.meta.url, [], {}, HANG_MS);
  assert.deepEqual(result, { code: 0, signal: null, stdout: 'the descriptors arrived\n', stderr: '' });
});
