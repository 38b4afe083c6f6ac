// How much of a turn of the event loop one connection may have: others come in between.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeAll, native } from '#src/native/binding.js';
import { bridged, RawPeer, socketAndPeer, turns } from '../support/bridged.js';
import { trackDescriptors } from '../support/fd-table.js';
import { fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 20_000;
const FULL_MESSAGE = 253;
/** More than one read takes, and less than a socket buffers. */
const LARGE = Buffer.alloc(180_000, 'abcdefghijklm');

/** Counts turns of the event loop. */
function turnCounter(): { readonly turn: () => number; stop(): void } {
  let turn = 0;
  let running = true;
  const next = () => {
    turn++;
    if (running) setImmediate(next);
  };
  next();
  return {
    turn: () => turn,
    stop: () => {
      running = false;
    },
  };
}

function burn(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

test('what the program takes long for comes in small pieces, one in each turn, and nothing is lost', async () => {
  const [socket, peer] = socketAndPeer('bridged');
  const { turn, stop } = turnCounter();
  const chunks: Buffer[] = [];
  const seen: number[] = [];
  assert.equal(peer.send(LARGE), LARGE.length);
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    seen.push(turn());
    burn(40);
  });
  await within(HANG_MS, 'all comes', () => Buffer.concat(chunks).length === LARGE.length);
  stop();
  assert.ok(Buffer.concat(chunks).equals(LARGE));
  assert.equal(new Set(seen).size, seen.length, `turns ${seen}`);
  const [, ...later] = chunks.map(({ length }) => length);
  assert.ok(
    later.every((length) => length <= 16 * 1024),
    `${later}`,
  );

  // When the program is quick again, so are the reads.
  socket.removeAllListeners('data');
  let largest = 0;
  socket.on('data', (chunk: Buffer) => {
    largest = Math.max(largest, chunk.length);
  });
  await within(HANG_MS, 'a read is large', () => {
    peer.send(LARGE);
    return largest === 64 * 1024;
  });
});

test('of full messages of descriptors, two at most are received in a turn', async () => {
  const perTurn = new Map<number, number>();
  const { turn, stop } = turnCounter();
  let received = 0;
  const [socket, peer] = socketAndPeer('bridged', {
    onDescriptors: (fds) => {
      perTurn.set(turn(), (perTurn.get(turn()) ?? 0) + fds.length);
      received += fds.length;
      closeAll(fds);
    },
  });
  const fd = fileWith('many');
  const fds = Array.from({ length: FULL_MESSAGE }, () => fd);
  for (let count = 0; count < 8; count++) assert.equal(peer.send('x', fds), 1);
  socket.resume();
  await within(HANG_MS, 'they come', () => received === 8 * FULL_MESSAGE);
  stop();
  closeAll([fd]);
  assert.ok(Math.max(...perTurn.values()) <= 2 * FULL_MESSAGE, `${[...perTurn.values()]}`);
});

test('while nothing is wanted, what comes stays with the kernel, and then it comes', async () => {
  const [a, b] = native.socketPair();
  const { socket, stream } = bridged(a);
  const peer = new RawPeer(b);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk;
  });
  stream.reads = false;
  peer.send('hello');
  await turns(20);
  assert.equal(received, '');
  stream.reads = true;
  await within(HANG_MS, 'it comes', () => received === 'hello');
  stream.reads = false;
  peer.send(', and bye');
  peer.close();
  await turns(20);
  assert.equal(received, 'hello');
  stream.reads = true;
  await within(HANG_MS, 'the end comes', () => socket.readableEnded);
  assert.equal(received, 'hello, and bye');
});
