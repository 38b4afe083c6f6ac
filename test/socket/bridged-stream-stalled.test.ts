/** Node does not read while it writes, and hears of the end of a write in a later turn of the event loop. A turn may take any time. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { native } from '#src/native/binding.js';
import { bridged, handleOf, RawPeer, turn } from '../support/bridged.js';
import { trackDescriptors } from '../support/fd-table.js';
import { within } from '../support/until.js';

trackDescriptors();

/** Longer than Node may not read. */
const HELD_UP_MS = 300;

/** Code of the user runs for long, in the turn in which `act` has shown its effect. */
async function inALongTurn(act: () => void): Promise<void> {
  await turn();
  act();
  await turn();
  const end = performance.now() + HELD_UP_MS;
  while (performance.now() < end);
}

test('a stream is not stalled if it is not read for two turns of the event loop that take long', async () => {
  const [a, b] = native.socketPair();
  let stalls = 0;
  const { socket } = bridged(a, { onStalled: () => stalls++ });
  const peer = new RawPeer(b);
  const handle = handleOf(socket);
  const received: string[] = [];
  socket.on('data', (bytes) => received.push(String(bytes)));
  for (const text of ['one', 'two', 'three']) {
    await inALongTurn(() => {
      handle.readStop();
      peer.send(text);
    });
    await inALongTurn(() => {});
    handle.readStart();
    await within(2_000, 'what was sent is read', () => received.at(-1) === text);
  }
  assert.equal(stalls, 0);

  handle.readStop();
  peer.send('four');
  await within(5_000, 'a stream that is read no more is stalled', () => stalls > 0);
  assert.equal(stalls, 1);
});
