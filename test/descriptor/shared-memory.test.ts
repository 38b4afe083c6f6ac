import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants, ftruncateSync, read, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { openFile } from '#src/descriptor/open-file.js';
import { ReceivedFile } from '#src/descriptor/received-file.js';
import { createSharedMemory, type SharedMemory } from '#src/descriptor/shared-memory.js';
import { close, closeAll, native, O_PATH } from '#src/native/binding.js';
import { F_SEAL_GROW, F_SEAL_SHRINK, MFD_ALLOW_SEALING } from '#src/native/types.js';
import { runFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { collectUntil, mappingsOf } from '../support/mappings.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const PAGE = 4096;
const MFD_HUGETLB = 0x4;

function make(size: number, name = 'test'): SharedMemory {
  const memory = createSharedMemory(size, { name });
  defer(() => memory.close());
  return memory;
}

/** As it arrives at a receiver. */
function receive({ fd }: { readonly fd: number }): ReceivedFile {
  return take(native.duplicate(fd));
}

function take(fd: number): ReceivedFile {
  const file = new ReceivedFile(fd);
  defer(() => file.close());
  return file;
}

function refused(fd: number, details: RegExp): void {
  assert.throws(() => take(fd).map(), { reason: 'ERR_GRPCFD_NOT_MAPPABLE', code: 9, details });
}

test('both ends see the same memory, and the receiver needs neither the sender nor the descriptor', () => {
  const memory = make(3 * PAGE + 5);
  memory.bytes.set([1, 2, 3], 3 * PAGE);
  const file = receive(memory);
  using mapped = file.map();
  file[Symbol.dispose]();
  assert.equal(mapped.bytes.length, memory.size);
  memory.bytes[3 * PAGE + 4] = 9;
  memory.close();
  assert.deepEqual([...mapped.bytes.subarray(3 * PAGE)], [1, 2, 3, 0, 9]);
  assert.deepEqual([mapped.writable, mapped.immutable], [false, false]);
});

test('a store through a mapping that is not writable neither kills the process nor reaches anybody', () => {
  const memory = make(PAGE);
  memory.bytes[0] = 1;
  using mapped = receive(memory).map();
  using another = receive(memory).map();
  mapped.bytes[0] = 2;
  assert.deepEqual([mapped.bytes[0], memory.bytes[0], another.bytes[0]], [2, 1, 1]);
});

test('a store through a writable mapping reaches everybody', () => {
  const memory = make(PAGE);
  using mapped = receive(memory).map({ writable: true });
  mapped.bytes[7] = 7;
  assert.equal(mapped.writable, true);
  assert.equal(memory.bytes[7], 7);
  const readOnly = take(openFile(`/proc/self/fd/${memory.fd}`, constants.O_RDONLY));
  assert.throws(() => readOnly.map({ writable: true }), { code: 'EACCES', syscall: 'mmap' });
  using theirs = readOnly.map();
  assert.equal(theirs.bytes[7], 7);
});

test('the size never changes', () => {
  const memory = make(PAGE);
  for (const size of [0, PAGE - 1, 2 * PAGE])
    assert.throws(() => ftruncateSync(memory.fd, size), { code: 'EPERM' });
});

test('sealed memory is final for everybody', () => {
  const memory = make(PAGE);
  memory.bytes[0] = 1;
  const earlier = memory.bytes;
  assert.equal(memory.sealed, false);
  memory.seal();
  memory.seal();
  assert.equal(memory.sealed, true);
  assert.equal(earlier.length, 0);
  assert.equal(memory.bytes[0], 1);
  assert.throws(() => writeSync(memory.fd, 'x'), { code: 'EPERM' });
  const file = receive(memory);
  assert.throws(() => file.map({ writable: true }), {
    reason: 'ERR_GRPCFD_NOT_MAPPABLE',
    message: /sealed against writing/,
  });
  using mapped = file.map();
  assert.equal(mapped.immutable, true);
  memory.bytes[0] = 2;
  assert.equal(mapped.bytes[0], 1);
});

test('sealing fails while somebody could write, and leaves everything as it was', () => {
  const memory = make(PAGE);
  memory.bytes[0] = 1;
  const mapped = receive(memory).map({ writable: true });
  assert.throws(() => memory.seal(), { code: 'EBUSY', syscall: 'fcntl' });
  mapped.bytes[1] = 2;
  memory.bytes[2] = 3;
  assert.deepEqual([...mapped.bytes.subarray(0, 3)], [1, 2, 3]);
  mapped.close();
  memory.seal();
  assert.deepEqual([...memory.bytes.subarray(0, 3)], [1, 2, 3]);
});

test('what a peer could cut short is refused, as is all that is no memory', () => {
  const size = PAGE;
  refused(native.memFd('unsealed', size, MFD_ALLOW_SEALING), /no F_SEAL_SHRINK/);
  refused(native.memFd('never to be sealed', size, 0), /no F_SEAL_SHRINK/);
  const growSealed = native.memFd('grow', size, MFD_ALLOW_SEALING);
  native.addSeals(growSealed, F_SEAL_GROW);
  refused(growSealed, /no F_SEAL_SHRINK/);
  refused(openFile('/proc/self/exe', constants.O_RDONLY), /not a memfd/);
  refused(openFile('/proc/self', constants.O_RDONLY), /not a memfd/);
  for (const pair of [native.testing.pipe(), native.socketPair()]) {
    defer(() => close(pair[1]));
    refused(pair[0], /not a memfd/);
  }
  refused(fileWith('on some disk, or on tmpfs'), /not a memfd|no F_SEAL_SHRINK/);
});

test('huge pages are refused', (t) => {
  let fd: number;
  try {
    fd = native.memFd('huge', 2 ** 21, MFD_ALLOW_SEALING | MFD_HUGETLB);
  } catch {
    return t.skip('this kernel makes none');
  }
  native.addSeals(fd, F_SEAL_SHRINK);
  refused(fd, /huge pages/);
});

test('a path-only or a closed file cannot be mapped', () => {
  const memory = make(PAGE);
  const pathOnly = take(openFile(`/proc/self/fd/${memory.fd}`, O_PATH));
  assert.throws(() => pathOnly.map(), { reason: 'ERR_GRPCFD_PATH_ONLY' });
  const file = receive(memory);
  file[Symbol.dispose]();
  assert.throws(() => file.map(), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
});

test('a file that grew after it was sealed against shrinking is mapped as it is then', () => {
  const fd = native.memFd('growing', PAGE, MFD_ALLOW_SEALING);
  native.addSeals(fd, F_SEAL_SHRINK);
  const file = take(fd);
  using before = file.map();
  ftruncateSync(fd, 3 * PAGE);
  using after = file.map();
  assert.deepEqual([before.bytes.length, after.bytes.length], [PAGE, 3 * PAGE]);
});

test('nothing at all is memory, too', async () => {
  const memory = make(0);
  assert.equal(memory.bytes.length, 0);
  memory.seal();
  using mapped = receive(memory).map();
  await mapped.populate();
  assert.deepEqual([mapped.bytes.length, mapped.immutable], [0, true]);
});

test('a size that no buffer or no address space has is an error', () => {
  const file = receive(make(2 ** 52));
  assert.throws(
    () => file.map(),
    ({ reason, code }) => reason === 'ERR_GRPCFD_FILE_TOO_LARGE' || code === 'ENOMEM',
  );
});

test('arguments that mean nothing are refused, and leave nothing open', () => {
  for (const size of [-1, 0.5, Number.NaN, 2 ** 53, '1' as unknown as number]) {
    assert.throws(() => createSharedMemory(size), { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' });
  }
  for (const name of ['a\0b', 'x'.repeat(250), 'é'.repeat(125), 1 as unknown as string]) {
    assert.throws(() => createSharedMemory(1, { name }), { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' });
  }
  make(1, 'x'.repeat(249));
});

test('once closed, a view is empty and the memory is given back', async () => {
  const memory = make(PAGE, 'closed');
  const view = memory.bytes;
  const mapped = receive(memory).map();
  const part = mapped.bytes.subarray(1, 9);
  assert.equal(mappingsOf('closed'), 2);
  mapped.close();
  mapped.close();
  assert.equal(mappingsOf('closed'), 1);
  assert.deepEqual([mapped.bytes.length, part.length, part[0]], [0, 0, undefined]);
  await mapped.populate();
  memory.close();
  memory.close();
  assert.equal(mappingsOf('closed'), 0);
  assert.equal(view.length, 0);
  assert.equal(memory.closed, true);
  for (const use of [() => memory.fd, () => memory.bytes, () => memory.sealed, () => memory.seal()]) {
    assert.throws(use, { reason: 'ERR_GRPCFD_FILE_CLOSED' });
  }
});

test('an operation that still fills a view when it is closed does no harm', async () => {
  const memory = make(PAGE);
  const mapped = receive(memory).map({ writable: true });
  const [readEnd, writeEnd] = native.testing.pipe();
  // Blocks a thread, unlike the pipe for tests.
  const blocking = openFile(`/proc/self/fd/${readEnd}`, constants.O_RDONLY);
  defer(() => closeAll([readEnd, writeEnd, blocking]));
  const reading = promisify(read)(blocking, mapped.bytes, 0, 5, null);
  mapped.close();
  const others = Array.from({ length: 50 }, () => receive(memory).map());
  writeSync(writeEnd, 'later');
  assert.equal((await reading).bytesRead, 5);
  for (const other of others) {
    assert.equal(other.bytes[0], 0);
    other.close();
  }
});

test('a thread that stores into a view while it is closed does no harm', async () => {
  assert.deepEqual(await runFixture('fixtures/close-while-filled.js', import.meta.url), {
    code: 0,
    signal: null,
    stdout: '',
    stderr: '',
  });
});

test('populating fills the page table, also with several at it, and ends early when it is closed', async () => {
  const memory = make(64 * 2 ** 20);
  memory.bytes.fill(1);
  const mapped = receive(memory).map();
  await Promise.all([mapped.populate(), mapped.populate()]);
  assert.equal(Buffer.compare(mapped.bytes, memory.bytes), 0);
  mapped.close();
  for (let round = 0; round < 20; round++) {
    using brief = receive(memory).map();
    const populated = brief.populate();
    brief.close();
    await populated;
  }
});

test('a mapping is given back when it is collected, and not as long as a view of it is left', async () => {
  const memory = make(PAGE, 'collected');
  memory.bytes[0] = 1;
  const views = (() => Array.from({ length: 20 }, () => receive(memory).map().bytes.subarray(0, 1)))();
  assert.equal(mappingsOf('collected'), 21, "with the sender's own");
  views.length = 10;
  await collectUntil(() => mappingsOf('collected') === 11);
  for (const view of views) assert.equal(view[0], 1);
});

test('memory that is collected unclosed is closed then, with a warning', async () => {
  (() => createSharedMemory(PAGE, { name: 'forgotten' }).bytes.fill(1))();
  const warned = once(process, 'warning');
  await collectUntil(() => mappingsOf('forgotten') === 0);
  const [warning] = (await warned) as [Error & { code?: string }];
  assert.equal(warning.code, 'GRPCFD_UNCLOSED');
  assert.match(warning.message, /^A SharedMemory \(fd \d+, "forgotten"\)/);
});

test('terminating a worker gives back what it had mapped', async () => {
  for (let round = 0; round < 5; round++) {
    const name = `worker ${round}`;
    const program = new URL('./fixtures/worker-with-memory.js', import.meta.url);
    const worker = new Worker(program, { workerData: name });
    assert.deepEqual(await once(worker, 'message'), [1]);
    assert.equal(mappingsOf(name), 2);
    await worker.terminate();
    assert.equal(mappingsOf(name), 0);
  }
});

test('reading through the descriptor and in place are one', () => {
  const memory = make(PAGE);
  writeSync(memory.fd, 'text', 0);
  assert.equal(Buffer.from(memory.bytes.subarray(0, 4)).toString(), 'text');
  memory.bytes[0] = 'n'.charCodeAt(0);
  const buffer = Buffer.alloc(4);
  readSync(memory.fd, buffer, 0, 4, 0);
  assert.equal(buffer.toString(), 'next');
});
