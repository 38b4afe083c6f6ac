// The calls of the class Bridge. What it leans on in Node is in bridge-reading.test.ts.
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { Bridge, close, closeAll, native } from '#src/native/binding.js';
import { ARRIVED, BRIDGE_EVENT, OUTGOING } from '#src/native/bridge-types.js';
import { arrivals } from '#src/socket/arrivals.js';
import { handleOf, RawPeer, turns } from '../support/bridged.js';
import { defer, trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

/** A bridge without the class above it, which detaches and closes as soon as Node closes its handle. */
function bareBridge(onEvent: (event: number, value: number) => void = () => {}) {
  const made = unownedBridge(onEvent);
  defer(() => made.socket.destroy());
  return { ...made, peer: new RawPeer(made.other) };
}

function unownedBridge(onEvent: (event: number, value: number) => void = () => {}) {
  const [near, far] = native.socketPair();
  const [fd, other] = native.socketPair();
  native.unguard(near);
  const socket = new Socket({ fd: near, allowHalfOpen: true, readable: true, writable: true });
  const bridge = new Bridge(Int32Array.of(fd, far, near), arrivals.memory, onEvent);
  const handle = handleOf(socket);
  const closeHandle = handle.close;
  handle.close = (callback) => {
    bridge.detach(false);
    bridge.close();
    closeHandle.call(handle, callback);
  };
  return { bridge, socket, other };
}

test('a closed bridge never touches its numbers again', () => {
  const { bridge, peer, socket } = bareBridge();
  socket.destroy();
  peer.close();
  bridge.close();
  for (const call of [
    () => bridge.setOutgoing(OUTGOING.HELD),
    () => bridge.setBlocked(),
    () => bridge.forward(),
    () => bridge.take(Buffer.alloc(1)),
    () => bridge.send([Buffer.alloc(1)], 1, new Int32Array(), 0),
    () => bridge.probe(0),
    () => bridge.endWriting(),
    () => bridge.readToEnd(),
    () => bridge.tellAnswered(),
    () => bridge.detach(false),
    () => bridge.unread(),
    () => bridge.ref(),
  ]) {
    assert.throws(call, { code: 'EBADF' });
  }
  assert.deepEqual([bridge.bytesRead(), bridge.bytesForwarded()], [0, 0]);
});

test('arguments of the wrong kind', () => {
  const { bridge } = bareBridge();
  const any = (value: unknown) => value as never;
  const none = new Int32Array();
  for (const call of [
    () => bridge.setOutgoing(any('1')),
    () => bridge.take(any('text')),
    () => bridge.take(any(new Uint16Array(1))),
    () => bridge.send(any(Buffer.alloc(1)), 1, none, 0),
    () => bridge.send([any('text')], 4, none, 0),
    () => bridge.send([Buffer.alloc(1)], 1, any([0]), 1),
    () => bridge.send([Buffer.alloc(1)], 1, Int32Array.of(0), 2),
    () => bridge.probe(any(undefined)),
    () => bridge.detach(any(0)),
    () => new Bridge(any([1, 2, 3]), arrivals.memory, () => {}),
    () => new Bridge(Int32Array.of(1, 2, 3), any([]), () => {}),
  ]) {
    assert.throws(call, { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  }
  assert.throws(() => bridge.send([], 1, none, 0), { code: 'EINVAL' });
  assert.throws(() => new Bridge(Int32Array.of(1, 2), arrivals.memory, () => {}), { code: 'EINVAL' });
  const short = new Int32Array(ARRIVED.LENGTH - 1);
  assert.throws(() => new Bridge(Int32Array.of(1, 2, 3), short, () => {}), { code: 'EINVAL' });
});

test('a bridge that cannot be made leaves the descriptors with the caller', () => {
  const fds = [...native.socketPair(), ...native.socketPair()];
  const [fd = -1, far = -1, near = -1] = fds;
  // No stream of Node's has that descriptor.
  assert.throws(() => new Bridge(Int32Array.of(fd, far, near), arrivals.memory, () => {}), {
    code: 'ENOENT',
  });
  closeAll(fds);
  const [read, write] = native.testing.pipe();
  assert.throws(() => new Bridge(Int32Array.of(read, write, 0), arrivals.memory, () => {}), {
    code: 'ENOTSOCK',
  });
  close(read);
  close(write);
});

test('bridges that were closed are collected', async () => {
  assert.ok(globalThis.gc, 'run with --expose-gc');
  let collected = 0;
  const registry = new FinalizationRegistry<number>(() => collected++);
  for (let index = 0; index < 50; index++) {
    const { bridge, socket, other } = unownedBridge();
    registry.register(bridge, index);
    socket.destroy();
    close(other);
  }
  while (collected < 49) {
    await turns(1);
    globalThis.gc();
  }
});

test('bytes that were written wait while they are held, and are taken by hand', async () => {
  const events: number[] = [];
  const made = bareBridge((event) => events.push(event));
  const { bridge } = made;
  bridge.setOutgoing(OUTGOING.HELD);
  made.socket.write('held');
  await turns();
  assert.equal(made.peer.receive(), -11);
  assert.deepEqual(events, []);
  bridge.setOutgoing(OUTGOING.SCRIPT);
  while (events.length === 0) await turns(1);
  assert.equal(events[0], BRIDGE_EVENT.OUTGOING);
  const buffer = Buffer.alloc(10);
  assert.equal(bridge.take(buffer), 4);
  assert.equal(bridge.take(buffer), -11);
  assert.equal(bridge.send([buffer], 4, Int32Array.of(0), 1), 4);
  const received = made.peer.receive();
  assert.ok(typeof received === 'object');
  closeAll(received.fds);
  assert.deepEqual([received.bytes.toString(), received.fds.length], ['held', 1]);
});
