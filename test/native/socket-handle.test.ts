import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { test } from 'node:test';
import { close, closeAll, native, SocketHandle } from '#src/native/binding.js';
import {
  ARRIVED,
  DISCONNECT,
  type SocketHandle as Handle,
  READABLE,
  WRITABLE,
} from '#src/native/bridge-types.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { within } from '../support/until.js';

trackDescriptors();

const NO_FDS = new Int32Array();
const arrived = new Int32Array(ARRIVED.LENGTH);

function handlePair(onReady: (events: number) => void = () => {}): [Handle, Handle] {
  const [a, b] = native.socketPair();
  const handles: [Handle, Handle] = [new SocketHandle(a, onReady), new SocketHandle(b, () => {})];
  defer(() => {
    for (const handle of handles) handle.close();
  });
  return handles;
}

test('A closed handle never uses its descriptor number again', () => {
  const [a] = handlePair();
  a.close();
  a.close();
  for (const call of [
    () => a.receive(Buffer.alloc(1), 0, arrived),
    () => a.send([Buffer.alloc(1)], 1, NO_FDS, 0),
    () => a.probe(0),
    () => a.shutdown(),
    () => a.hasEnded(),
    () => a.listen(1),
    () => a.accept(),
    () => a.watch(READABLE),
    () => a.ref(),
    () => a.unref(),
  ]) {
    assert.throws(call, { code: 'EBADF' });
  }
});

test('The end of the peer is seen without a read, and only when nothing is left to read', async () => {
  let seen = false;
  const [a, b] = handlePair(() => {
    seen = true;
  });
  assert.equal(a.hasEnded(), false);
  a.watch(DISCONNECT);
  assert.equal(b.send([Buffer.from('x')], 1, Int32Array.of(0), 1), 1);
  b.shutdown();
  // It does not keep the process alive to watch for this.
  await within(5_000, 'it is seen', () => seen);
  a.watch(0);
  assert.equal(a.hasEnded(), false);
  const buffer = Buffer.alloc(10);
  assert.equal(a.receive(buffer, 0, arrived), 1);
  // What was looked at before was not taken out of its message.
  assert.equal(arrived[ARRIVED.COUNT], 1);
  close(arrived[ARRIVED.FIRST] ?? -1);
  assert.equal(a.hasEnded(), true);
  assert.equal(a.receive(buffer, 0, arrived), 0);
});

test('A socket handle refuses arguments of the wrong type', () => {
  const [a] = handlePair();
  const any = (value: unknown) => value as never;
  const calls = [
    () => a.receive(any('text'), 0, arrived),
    () => a.receive(any(new Uint16Array(1)), 0, arrived),
    () => a.receive(Buffer.alloc(1), any('0'), arrived),
    () => a.receive(Buffer.alloc(1), 0, any([])),
    () => a.send(any(Buffer.alloc(1)), 1, NO_FDS, 0),
    () => a.send([any('text')], 4, NO_FDS, 0),
    () => a.send([Buffer.alloc(1)], 1, any([0]), 1),
    () => a.send([Buffer.alloc(1)], 1, Int32Array.of(0), 2),
    () => a.send([Buffer.alloc(1)], 1, Int32Array.of(0), -1),
    () => a.send([Buffer.alloc(1)], 1, Int32Array.of(0), any(undefined)),
    () => a.watch(any(undefined)),
    () => new SocketHandle(any('0'), () => {}),
  ];
  for (const call of calls) assert.throws(call, { code: 'ERR_INVALID_ARG_TYPE' });
  for (const offset of [-1, 1, 2]) {
    assert.throws(() => a.receive(Buffer.alloc(1), offset, arrived), { code: 'EINVAL', syscall: 'recvmsg' });
  }
  assert.throws(() => SocketHandle.prototype.close.call(any({})), TypeError);
});

test('probe() tells whether the kernel would send a descriptor, and the peer receives nothing', () => {
  const [a, b] = handlePair();
  assert.equal(a.probe(0), 0);
  assert.equal(a.probe(-1), -9);
  assert.equal(b.receive(Buffer.alloc(1), 0, arrived), -11);
});

test('receive() leaves the descriptors of a message in the given array, and the next message overwrites them', () => {
  const [a, b] = handlePair();
  a.send([Buffer.from('x')], 1, Int32Array.of(0, 0, -1), 2);
  assert.equal(b.receive(Buffer.alloc(4), 0, arrived), 1);
  assert.equal(arrived[ARRIVED.COUNT], 2);
  assert.equal(arrived[ARRIVED.TRUNCATED], 0);
  closeAll([...arrived.subarray(ARRIVED.FIRST, ARRIVED.FIRST + 2)]);
  for (const result of [1, -11]) {
    if (result === 1) a.send([Buffer.from('y')], 1, NO_FDS, 0);
    arrived.fill(7);
    assert.equal(b.receive(Buffer.alloc(4), 0, arrived), result);
    assert.equal(arrived[ARRIVED.COUNT], 0);
    assert.equal(arrived[ARRIVED.TRUNCATED], 0);
  }
});

test('receive() reads nothing without room for all descriptors that a message may bring', () => {
  const [a, b] = handlePair();
  a.send([Buffer.from('x')], 1, Int32Array.of(0), 1);
  const short = new Int32Array(ARRIVED.LENGTH - 1);
  assert.throws(() => b.receive(Buffer.alloc(1), 0, short), { code: 'EINVAL', syscall: 'recvmsg' });
  assert.equal(b.receive(Buffer.alloc(1), 0, arrived), 1);
  assert.equal(arrived[ARRIVED.COUNT], 1);
  close(arrived[ARRIVED.FIRST] ?? -1);
});

test('send() refuses a message without bytes, which would lose its descriptors', () => {
  const [a] = handlePair();
  for (const buffers of [[], [Buffer.alloc(0)]]) {
    assert.throws(() => a.send(buffers, 10, Int32Array.of(0), 1), { code: 'EINVAL', syscall: 'sendmsg' });
  }
  assert.throws(() => a.send([Buffer.alloc(1)], 0, Int32Array.of(0), 1), { code: 'EINVAL' });
});

test('Readiness is level-triggered, and is not reported when it is not watched', async () => {
  let calls = 0;
  let resolve = () => {};
  const thrice = new Promise<void>((done) => {
    resolve = done;
  });
  const [a, b] = handlePair((events) => {
    assert.equal(events, READABLE);
    if (++calls === 3) {
      a.watch(0);
      resolve();
    }
  });
  a.watch(READABLE);
  b.send([Buffer.from('x')], 1, NO_FDS, 0);
  await thrice;
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  assert.equal(calls, 3);
});

test('An error on the socket reports it as readable and writable for as long as it is watched', async () => {
  const seen: number[] = [];
  let resolve = () => {};
  const twice = new Promise<void>((done) => {
    resolve = done;
  });
  const [a, b] = handlePair((events) => {
    seen.push(events);
    if (seen.length === 2) resolve();
  });
  // The peer closes with unread bytes.
  a.send([Buffer.from('x')], 1, NO_FDS, 0);
  b.close();
  a.watch(READABLE);
  await twice;
  assert.deepEqual(seen, [READABLE | WRITABLE, READABLE | WRITABLE]);
  assert.equal(a.receive(Buffer.alloc(1), 0, arrived), -104);
  assert.equal(a.receive(Buffer.alloc(1), 0, arrived), 0);
});

test('callbacks run in the asynchronous context in which the handle was made', async () => {
  const storage = new AsyncLocalStorage<string>();
  const [a, b] = native.socketPair();
  const seen = await new Promise((resolve) => {
    const handle = storage.run('where it was made', () => {
      return new SocketHandle(a, () => {
        handle.close();
        resolve(storage.getStore());
      });
    });
    handle.watch(READABLE);
    close(b);
  });
  assert.equal(seen, 'where it was made');
});

test('A socket handle refuses sockets of other kinds', async () => {
  const server: Server = createServer().listen(0);
  await once(server, 'listening');
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  assert.throws(() => new SocketHandle(fd, () => {}), { code: 'EAFNOSUPPORT' });
  server.close();
  await once(server, 'close');
  const datagram = createSocket('udp4').bind(0);
  await once(datagram, 'listening');
  const handle = Reflect.ownKeys(datagram)
    .map((key) => Reflect.get(datagram, key) as { handle?: { fd: number } } | undefined)
    .find((state) => typeof state?.handle?.fd === 'number')?.handle;
  assert.throws(() => new SocketHandle(handle?.fd ?? -1, () => {}), { code: 'EAFNOSUPPORT' });
  datagram.close();
  await once(datagram, 'close');
});

test('Two handles of one thread cannot watch the same descriptor', () => {
  const [a, b] = native.socketPair();
  const handle = new SocketHandle(a, () => {});
  handle.watch(READABLE);
  assert.throws(() => new SocketHandle(a, () => {}), { code: 'EEXIST', syscall: 'uv_poll_init' });
  handle.close();
  close(b);
});

test('Closed handles are garbage collected', async () => {
  assert.ok(globalThis.gc, 'run with --expose-gc');
  let collected = 0;
  const registry = new FinalizationRegistry<number>(() => collected++);
  for (let index = 0; index < 50; index++) {
    const [a, b] = native.socketPair();
    close(b);
    const handle = new SocketHandle(a, () => {});
    registry.register(handle, index);
    handle.close();
  }
  while (collected < 49) {
    await new Promise(setImmediate);
    globalThis.gc();
  }
});
