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
import { F_SEAL_GROW, F_SEAL_SHRINK, MFD_ALLOW_SEALING } from '#src/native/file-types.js';
import { runFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { collectUntil, mappingsOf } from '../support/mappings.js';
import { fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const PAGE = 4096;
const MFD_HUGETLB = 0x4;

function make(size: number, name = 'test'): SharedMemory {
  const memory = createSharedMemory(size, { name });
  defer(() => memory.close());
  return memory;
}

/** The memory as a receiver gets it. */
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

test('Both ends see the same memory, and a mapping stays after the sender and the descriptor are closed', () => {
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

test('A store through a mapping that is not writable neither kills the process nor changes the memory of others', () => {
  const memory = make(PAGE);
  memory.bytes[0] = 1;
  using mapped = receive(memory).map();
  using another = receive(memory).map();
  mapped.bytes[0] = 2;
  assert.deepEqual([mapped.bytes[0], memory.bytes[0], another.bytes[0]], [2, 1, 1]);
});

test('A store through a writable mapping changes the memory of all processes that map it', () => {
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

test('The size of shared memory never changes', () => {
  const memory = make(PAGE);
  for (const size of [0, PAGE - 1, 2 * PAGE])
    assert.throws(() => ftruncateSync(memory.fd, size), { code: 'EPERM' });
});

test('Sealed memory cannot be changed by any process', () => {
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

test('Sealing fails while somebody else can write, leaves all views as they were, and succeeds later', () => {
  const memory = make(3 * PAGE + 5);
  const { bytes } = memory;
  const part = bytes.subarray(3 * PAGE);
  bytes[0] = 1;
  const mapped = receive(memory).map({ writable: true });
  for (let attempt = 2; attempt < 5; attempt++) {
    assert.throws(() => memory.seal(), { code: 'EBUSY', syscall: 'fcntl' });
    assert.equal(memory.sealed, false);
    assert.equal(memory.bytes, bytes);
    // Stores go through the same views to everybody, and those of everybody else come.
    bytes[attempt] = attempt;
    part[attempt] = attempt;
    mapped.bytes[10 + attempt] = attempt;
    assert.deepEqual([mapped.bytes[attempt], mapped.bytes[3 * PAGE + attempt]], [attempt, attempt]);
    assert.equal(bytes[10 + attempt], attempt);
  }
  const before = [...bytes];
  mapped.close();
  memory.seal();
  assert.deepEqual([...memory.bytes], before);
  assert.deepEqual([bytes.length, part.length], [0, 0]);
});

test('Memory that was never looked at can be sealed, and sealing fails in the same way', () => {
  const memory = make(PAGE);
  const mapped = receive(memory).map({ writable: true });
  assert.throws(() => memory.seal(), { code: 'EBUSY', syscall: 'fcntl' });
  mapped.bytes[0] = 7;
  mapped.close();
  memory.seal();
  assert.equal(memory.bytes[0], 7);
});

test('map() refuses files that a peer could truncate, and descriptors that are not memory', () => {
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

test('map() refuses memory of huge pages', (t) => {
  let fd: number;
  try {
    fd = native.memFd('huge', 2 ** 21, MFD_ALLOW_SEALING | MFD_HUGETLB);
  } catch {
    return t.skip('this kernel makes none');
  }
  native.addSeals(fd, F_SEAL_SHRINK);
  refused(fd, /huge pages/);
});

test('A closed file and a file that was opened with O_PATH cannot be mapped', () => {
  const memory = make(PAGE);
  const pathOnly = take(openFile(`/proc/self/fd/${memory.fd}`, O_PATH));
  assert.throws(() => pathOnly.map(), { reason: 'ERR_GRPCFD_PATH_ONLY' });
  const file = receive(memory);
  file[Symbol.dispose]();
  assert.throws(() => file.map(), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
});

test('A file that grew after it was sealed against shrinking is mapped at its present size', () => {
  const fd = native.memFd('growing', PAGE, MFD_ALLOW_SEALING);
  native.addSeals(fd, F_SEAL_SHRINK);
  const file = take(fd);
  using before = file.map();
  ftruncateSync(fd, 3 * PAGE);
  using after = file.map();
  assert.deepEqual([before.bytes.length, after.bytes.length], [PAGE, 3 * PAGE]);
});

test('Memory of zero bytes can be created, sent and mapped', async () => {
  const memory = make(0);
  assert.equal(memory.bytes.length, 0);
  memory.seal();
  using mapped = receive(memory).map();
  await mapped.populate();
  assert.deepEqual([mapped.bytes.length, mapped.immutable], [0, true]);
});

test('A size that exceeds the largest buffer or the address space is refused', () => {
  const file = receive(make(2 ** 52));
  assert.throws(
    () => file.map(),
    ({ reason, code }) => reason === 'ERR_GRPCFD_FILE_TOO_LARGE' || code === 'ENOMEM',
  );
});

test('Invalid arguments are refused, and no descriptor stays open', () => {
  for (const size of [-1, 0.5, Number.NaN, 2 ** 53, '1' as unknown as number]) {
    assert.throws(() => createSharedMemory(size), { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' });
  }
  for (const name of ['a\0b', 'x'.repeat(250), 'é'.repeat(125), 1 as unknown as string]) {
    assert.throws(() => createSharedMemory(1, { name }), { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' });
  }
  make(1, 'x'.repeat(249));
});

test('After close(), a view is empty and its memory is unmapped', async () => {
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

test('Closing a mapping while a read still fills its view is safe', async () => {
  const memory = make(PAGE);
  const mapped = receive(memory).map({ writable: true });
  const [readEnd, writeEnd] = native.testing.pipe();
  // A read from this pipe blocks its thread; a read from `testing.pipe()` would not.
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

test('Closing a mapping while a thread stores into its view is safe', async () => {
  assert.deepEqual(await runFixture('fixtures/close-while-filled.js', import.meta.url), {
    code: 0,
    signal: null,
    stdout: '',
    stderr: '',
  });
});

test('populate() fills the page table, may run several times at once, and ends early when the mapping is closed', async () => {
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

test('A mapping that is garbage collected is unmapped when no view of it is left', async () => {
  const memory = make(PAGE, 'collected');
  memory.bytes[0] = 1;
  const views = (() => Array.from({ length: 20 }, () => receive(memory).map().bytes.subarray(0, 1)))();
  assert.equal(mappingsOf('collected'), 21, "with the sender's own");
  views.length = 10;
  await collectUntil(() => mappingsOf('collected') === 11);
  for (const view of views) assert.equal(view[0], 1);
});

test('Shared memory that is garbage collected unclosed is closed with a warning', async () => {
  (() => createSharedMemory(PAGE, { name: 'forgotten' }).bytes.fill(1))();
  const warned = once(process, 'warning');
  await collectUntil(() => mappingsOf('forgotten') === 0);
  const [warning] = (await warned) as [Error & { code?: string }];
  assert.equal(warning.code, 'GRPCFD_UNCLOSED');
  assert.match(warning.message, /^A SharedMemory \(fd \d+, "forgotten"\)/);
});

test('Terminating a worker unmaps its mappings', async () => {
  for (let round = 0; round < 5; round++) {
    const name = `worker ${round}`;
    const program = new URL('./fixtures/worker-with-memory.js', import.meta.url);
    const worker = new Worker(program, { workerData: name });
    assert.deepEqual(await once(worker, 'message'), [1]);
    assert.equal(mappingsOf(name), 2);
    await worker.terminate();
    await within(2_000, 'they are gone', () => mappingsOf(name) === 0);
  }
});

test('Reading through the descriptor and reading in place give the same bytes', () => {
  const memory = make(PAGE);
  writeSync(memory.fd, 'text', 0);
  assert.equal(Buffer.from(memory.bytes.subarray(0, 4)).toString(), 'text');
  memory.bytes[0] = 'n'.charCodeAt(0);
  const buffer = Buffer.alloc(4);
  readSync(memory.fd, buffer, 0, 4, 0);
  assert.equal(buffer.toString(), 'next');
});
