import assert from 'node:assert/strict';
import { closeSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { native } from '#src/native/binding.js';
import { trackDescriptors } from '../support/fd-table.js';
import { streamPair } from '../support/stream-pair.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** An io_uring, or undefined where one may not be made, or the kernel still sends them (before Linux 6.7). */
function ioUring(): number | undefined {
  try {
    return native.testing.ioUring();
  } catch {
    return undefined;
  }
}

test('Refused descriptors are replaced by placeholders, so that later descriptors keep their sequence numbers', async () => {
  const [a, b] = streamPair();
  const files = [fileWith('first'), fileWith('third'), fileWith('fifth')] as const;
  const bad = [native.duplicate(0), native.duplicate(0)] as const;
  const good = [a.queueOwned(files[0])];
  const refused = [a.queueOwned(bad[0])];
  good.push(a.queueOwned(files[1]));
  refused.push(a.queueOwned(bad[1]));
  good.push(a.queueOwned(files[2]));
  for (const fd of bad) closeSync(fd);

  await a.write('the bytes');
  await Promise.all(good);
  for (const sent of refused) await assert.rejects(sent, { code: 'EBADF', syscall: 'sendmsg' });
  await b.until(() => b.bytes.length === 9);
  assert.equal(b.bytes.toString(), 'the bytes');
  assert.deepEqual(b.batches, [5]);
  assert.equal(a.stream.sentFds, 3);
  const [first, second, third, fourth, fifth] = b.takeFds();
  assert.deepEqual(
    [first, third, fifth].map((fd) => contentOf(fd ?? -1)),
    ['first', 'third', 'fifth'],
  );
  for (const fd of [second, fourth]) {
    assert.match(readlinkSync(`/proc/self/fd/${fd}`), /^socket:/);
    closeSync(fd ?? -1);
  }
});

test('No byte is lost when one of 200 descriptors before a single byte is refused', async () => {
  const [a, b] = streamPair();
  const bad = native.duplicate(0);
  const sent = Array.from({ length: 63 }, () => a.queue(0));
  const refused = a.queueOwned(bad);
  for (let count = 0; count < 136; count++) sent.push(a.queue(0));
  closeSync(bad);
  await a.write('1');
  await a.write('234');
  await Promise.all(sent);
  await assert.rejects(refused, { code: 'EBADF' });
  await b.until(() => b.bytes.length === 4);
  assert.deepEqual(b.batches, [64, 64, 64, 8]);
});

test('Each placeholder has its own inode, so that no receiver takes it for another file', async () => {
  const [a, b] = streamPair();
  const bad = [native.duplicate(0), native.duplicate(0)];
  for (const fd of bad) a.queueOwned(fd);
  for (const fd of bad) closeSync(fd);
  await a.write('x');
  await b.until(() => b.fds.length === 2);
  const [, first, , second] = native.identify(b.fds);
  assert.notEqual(first, second);
});

test('An io_uring, which the kernel does not send, is refused, and the other descriptors are sent', async (t) => {
  const ring = ioUring();
  if (ring === undefined) return t.skip('no io_uring here');
  const [a, b] = streamPair();
  const before = a.queue(0);
  const refused = a.queueOwned(ring);
  const after = a.queue(0);
  await a.write('x');
  await b.until(() => b.fds.length === 3);
  await Promise.all([before, after]);
  if (a.stream.sentFds === 3) return t.skip('this kernel sends them');
  await assert.rejects(refused, { code: 'EINVAL', syscall: 'sendmsg' });
  return undefined;
});

test('The stream may be closed when a refused descriptor settles', async () => {
  const [a] = streamPair();
  const bad = native.duplicate(0);
  a.stream.queueDescriptor({ fd: bad, settle: () => a.close() });
  const behind = a.queue(0);
  closeSync(bad);
  await assert.rejects(a.write('x'), { code: 'ECANCELED' });
  await assert.rejects(behind, { code: 'ECANCELED' });
});
