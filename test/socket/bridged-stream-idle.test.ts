import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { native } from '#src/native/binding.js';
import { bridged, handleOf, RawPeer, turns } from '../support/bridged.js';
import { trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

/** A loop that spins turns some thousand times meanwhile. */
const OBSERVED_MS = 200;

/** How often the event loop has turned; undefined where Node does not count. */
function loopCount(): number | undefined {
  const { uvMetricsInfo } = performance.nodeTiming as { uvMetricsInfo?: { loopCount: number } };
  return uvMetricsInfo?.loopCount;
}

const states: Record<string, (socket: Socket, peer: RawPeer) => void> = {
  idle() {},
  notReading: (socket, peer) => {
    handleOf(socket).readStop();
    peer.send('waits');
  },
  notReadingPeerEnded: (socket, peer) => {
    handleOf(socket).readStop();
    peer.send('waits');
    peer.shutdown();
  },
  notReadingPeerGone: (socket, peer) => {
    handleOf(socket).readStop();
    peer.send('waits');
    peer.close();
  },
  blocked: (socket) => {
    socket.write(Buffer.alloc(1_000_000));
  },
  blockedNotReading: (socket, peer) => {
    socket.write(Buffer.alloc(1_000_000));
    handleOf(socket).readStop();
    peer.send('waits');
    peer.shutdown();
  },
  ended: (socket) => {
    socket.resume().end('x');
  },
  peerEnded: (socket, peer) => {
    socket.resume();
    peer.shutdown();
  },
  peerGone: (socket, peer) => {
    socket.resume();
    peer.close();
  },
};

test('a connection that waits, for whatever, leaves the event loop alone', async (t) => {
  for (const set of Object.values(states)) {
    const [a, b] = native.socketPair();
    const { socket } = bridged(a, { allowHalfOpen: true });
    socket.on('error', () => {});
    set(socket, new RawPeer(b));
  }
  await turns(20);
  const before = loopCount();
  if (before === undefined) return t.skip('this Node does not count its turns');
  await delay(OBSERVED_MS);
  const turned = (loopCount() ?? 0) - before;
  assert.ok(turned < 20, `${turned} turns`);
  return undefined;
});
