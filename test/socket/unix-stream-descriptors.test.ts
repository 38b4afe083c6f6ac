import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { closeAll, native, SocketHandle } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { endpoint, streamPair } from '../support/stream-pair.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** n bytes carry at most 64 n descriptors, in as few messages as possible. */
const cases = [
  { count: 1, bytes: 1, batches: [1] },
  { count: 9, bytes: 1, batches: [9] },
  { count: 10, bytes: 9, batches: [10] },
  { count: 64, bytes: 1, batches: [64] },
  { count: 64, bytes: 9, batches: [64] },
  { count: 65, bytes: 1, batches: [64] },
  { count: 65, bytes: 9, batches: [64, 1] },
  { count: 200, bytes: 1, batches: [64] },
  { count: 200, bytes: 3, batches: [64, 64, 64] },
  { count: 200, bytes: 9, batches: [64, 64, 64, 8] },
];

for (const { count, bytes, batches } of cases) {
  test(`Of ${count} descriptors before ${bytes} bytes, messages carry ${batches.join(' + ')}, and the next write carries the rest`, async () => {
    const [a, b] = streamPair();
    const files = Array.from({ length: count }, (_, index) => fileWith(`file ${index}`));
    const sent = files.map((fd) => a.queue(fd));
    closeAll(files);

    const first = 'abcdefghi'.slice(0, bytes);
    await a.write(first);
    const carried = batches.reduce((sum, batch) => sum + batch, 0);
    assert.equal(a.stream.pendingFds, count - carried);
    assert.equal(a.stream.sentFds, carried);
    await b.until(() => b.bytes.length === bytes);
    assert.deepEqual(b.batches, batches);

    await a.write('the next write');
    await Promise.all(sent);
    await b.until(() => b.bytes.length === bytes + 14);
    assert.equal(b.bytes.toString(), `${first}the next write`);
    assert.deepEqual(
      b.takeFds().map(contentOf),
      Array.from({ length: count }, (_, index) => `file ${index}`),
    );
    assert.equal(b.stream.receivedFds, count);
  });
}

test('Descriptors are announced before the bytes that they arrived with', async () => {
  const [a, b] = streamPair();
  a.queue(0);
  await a.write('x');
  await b.until(() => b.bytes.length === 1);
  assert.deepEqual(b.log, ['fds 1', 'data 1']);
});

test('A write without bytes sends nothing, and the descriptors wait', async () => {
  const [a, b] = streamPair();
  const sent = a.queue(0);
  await a.write();
  await a.write('');
  assert.equal(a.stream.pendingFds, 1);
  await a.write('', 'x', '');
  await sent;
  await b.until(() => b.fds.length === 1);
});

test('The caller may close its descriptor right after queueing, even if its number is reused', async () => {
  const [a, b] = streamPair();
  const original = fileWith('the right one');
  a.queue(original);
  closeSync(original);
  const usurper = openSync('/dev/zero', 'r');
  defer(() => closeSync(usurper));
  assert.equal(usurper, original);
  await a.write('x');
  await b.until(() => b.fds.length === 1);
  assert.deepEqual(b.takeFds().map(contentOf), ['the right one']);
});

test('every descriptor is close-on-exec from birth', async () => {
  const [a, b] = streamPair();
  a.queue(0);
  await a.write('x');
  await b.until(() => b.fds.length === 1);
  const opened = native.open('/dev/null', 0, 0);
  const placeholder = native.placeholder();
  defer(() => closeAll([opened, placeholder]));
  for (const fd of [opened, placeholder, ...b.fds]) {
    const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
    assert.ok(Number.parseInt(flags, 8) & 0o2000000, `${fd} has flags ${flags}`);
  }
});

test('every kind of descriptor arrives as the same open file', async () => {
  const [a, b] = streamPair();
  const kinds = [
    ...native.testing.pipe(),
    ...native.socketPair(),
    openSync('/dev/null', 'r'),
    native.open('/', native.O_PATH, 0),
    fileWith(''),
  ];
  for (const fd of kinds) a.queue(fd);
  await a.write('x');
  await b.until(() => b.fds.length === kinds.length);
  assert.deepEqual(native.identify(b.fds), native.identify(kinds));
  assert.equal(native.statusFlags(b.fds[5] ?? -1) & native.O_PATH, native.O_PATH);
  closeAll(kinds);
});

test('A message of another program with 253 descriptors is received whole', async () => {
  const [a, b] = native.socketPair();
  const receiver = endpoint(b);
  const sender = new SocketHandle(a, () => {});
  defer(() => sender.close());
  const fds = new Int32Array(254);
  assert.equal(sender.send([Buffer.from('x')], 1, fds, 253), 1);
  await receiver.until(() => receiver.bytes.length === 1);
  assert.equal(receiver.fds.length, 253);
  assert.equal(receiver.truncated, false);
  const { ino } = fstatSync(0);
  for (const fd of receiver.fds) assert.equal(fstatSync(fd).ino, ino);
  assert.throws(() => sender.send([Buffer.alloc(0)], 1, fds, 1), { code: 'EINVAL', syscall: 'sendmsg' });
  assert.equal(sender.send([Buffer.from('x')], 1, fds, 254), -22);
});

test('A reader that ignores descriptors gets all bytes', async () => {
  const [a, b] = native.socketPair();
  const sender = endpoint(a);
  const plain = new Socket({ fd: b });
  defer(() => plain.destroy());
  const sent = sender.queue(0);
  await sender.write('hello');
  await sent;
  const [chunk] = (await once(plain, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'hello');
});

// Options from asm-generic/socket.h that add other control messages at the receiving socket.
const options = { SO_PASSCRED: 16, SO_PASSSEC: 34, SO_PASSPIDFD: 76 };

test('Other control messages neither displace descriptors nor leak any', async () => {
  const [a, b] = native.socketPair();
  for (const option of Object.values(options)) {
    try {
      native.testing.setSocketOption(b, option, 1);
    } catch (error) {
      // SO_PASSPIDFD needs Linux 6.5.
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOPROTOOPT');
    }
  }
  const sender = new SocketHandle(a, () => {});
  defer(() => sender.close());
  const receiver = endpoint(b);
  assert.equal(sender.send([Buffer.from('x')], 1, new Int32Array(253), 253), 1);
  await receiver.until(() => receiver.bytes.length === 1);
  assert.equal(receiver.fds.length, 253);
  assert.equal(receiver.truncated, false);
  assert.equal(sender.send([Buffer.from('y')], 1, new Int32Array(), 0), 1);
  await receiver.until(() => receiver.bytes.length === 2);
  assert.equal(receiver.fds.length, 253);
});
