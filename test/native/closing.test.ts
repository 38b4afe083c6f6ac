import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { native, O_PATH } from '#src/native/binding.js';
import { allClosed } from '../support/all-closed.js';
import { runFixture } from '../support/child.js';
import { failingSyscalls, whyNoFaults } from '../support/failing-syscalls.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { lingering } from '../support/hanging-close.js';
import { hangingFileSystem } from '../support/hanging-file-system.js';
import { temporaryDirectory } from '../support/temporary.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

function closesAtOnce(fd: number): boolean {
  defer(() => closeSync(fd));
  return native.testing.closesAtOnce(fd);
}

function memory(bytes: number): number {
  const fd = native.memFd('memory', 1 << 30, 0);
  writeSync(fd, Buffer.alloc(bytes, 'x'));
  native.unguard(fd);
  return fd;
}

function named(bytes: number): string {
  const path = join(temporaryDirectory(), 'named');
  writeFileSync(path, Buffer.alloc(bytes, 'x'));
  return path;
}

function removed(bytes: number, directory?: string): number {
  const path = join(directory ?? temporaryDirectory(), `removed-${process.pid}`);
  const fd = openSync(path, 'w');
  writeSync(fd, Buffer.alloc(bytes, 'x'));
  rmSync(path);
  return fd;
}

function fifo(): string {
  const path = join(temporaryDirectory(), 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

const AT_ONCE: Record<string, () => number> = {
  'a file': () => openSync(named(1000), 'r'),
  'a file that is open with O_PATH': () => native.open(named(1000), O_PATH, 0),
  'a large file with holes alone': () => {
    const fd = openSync(named(0), 'w');
    ftruncateSync(fd, 2 ** 40);
    return fd;
  },
  'a directory': () => openSync(temporaryDirectory(), 'r'),
  'a FIFO': () => openSync(fifo(), 'r+'),
  'a small memfd of which most is a hole': () => memory(4096),
  '/dev/null': () => openSync('/dev/null', 'r'),
  'a small file in memory without a name': () => removed(4096, '/dev/shm'),
  'an eventfd': () => native.testing.eventFd(),
  'a timerfd': () => native.testing.timerFd(),
  'a signalfd': () => native.testing.signalFd(),
  'a pidfd': () => native.testing.pidFd(),
  'a network namespace that is open with O_PATH': () => native.open('/proc/self/ns/net', O_PATH, 0),
};

const LATER: Record<string, () => number> = {
  'a file on a disk without a name': () => removed(1),
  'a large file': () => openSync(named(65 << 20), 'r'),
  'a large memfd': () => memory(2 << 20),
  'a large file in memory without a name': () => removed(2 << 20, '/dev/shm'),
  'a file of /proc': () => openSync('/proc/self/status', 'r'),
  'a mount namespace': () => openSync('/proc/self/ns/mnt', 'r'),
  'an epoll': () => native.testing.epoll(),
  'an inotify': () => native.testing.inotify(),
};

for (const [what, open] of Object.entries(AT_ONCE)) {
  test(`${what} closes at once`, () => assert.equal(closesAtOnce(open()), true));
}

for (const [what, open] of Object.entries(LATER)) {
  test(`${what} is closed by a thread`, () => assert.equal(closesAtOnce(open()), false));
}

test('an end of a pipe closes at once, and a socket is closed by a thread', () => {
  for (const fd of native.testing.pipe()) assert.equal(closesAtOnce(fd), true);
  for (const fd of native.socketPair()) {
    native.unguard(fd);
    assert.equal(closesAtOnce(fd), false);
  }
});

test('a directory of a FUSE file system is told without its server, and is closed by a thread', (t) => {
  const system = hangingFileSystem();
  if (system === undefined) return t.skip('this process may not mount a FUSE file system');
  const fd = native.open(system.path, O_PATH, 0);
  defer(() => native.close(fd));
  assert.equal(native.testing.closesAtOnce(fd), false);
  assert.match(native.inode(fd), /^\d+\/1$/);
  return undefined;
});

test('what a batch closes at once is 1 MiB of memory at most', async () => {
  const all = Array.from({ length: 8 }, () => memory(256 << 10));
  native.closeAll(all);
  // 256 KiB have a few pages more than that.
  const later = all.filter((fd) => isOpen(fd)).length;
  assert.ok(later <= 5, `${later}`);
  await allClosed();
  for (const fd of all) assert.equal(isOpen(fd), false);
});

function isOpen(fd: number): boolean {
  try {
    native.statusFlags(fd);
    return true;
  } catch {
    return false;
  }
}

test('a descriptor that is closed again while it waits for a thread is closed once', async () => {
  // As many as there may be threads, so that what follows waits.
  const hanging = Array.from({ length: 512 }, lingering);
  for (const { fd } of hanging) native.close(fd);
  await within(20_000, 'all threads hang', () => {
    // What is held up gets one more thread with each close.
    native.close(openSync('/proc/self/status', constants.O_RDONLY));
    return native.queuedCloses() > 0 && native.pendingCloses() >= 512 + native.queuedCloses();
  });
  const before = native.queuedCloses();
  const fds = Array.from({ length: 100 }, () => openSync('/proc/self/status', constants.O_RDONLY));
  native.closeAll([...fds, ...fds]);
  native.closeAll(fds);
  assert.equal(native.queuedCloses(), before + fds.length);
  for (const { letGo } of hanging) letGo();
  const pipes = Array.from({ length: 100 }, () => native.testing.pipe()).flat();
  await allClosed();
  for (const fd of pipes) assert.ok(isOpen(fd));
  native.closeAll(pipes);
});

/** Whether the other end has been closed. */
function hungUp(socket: number): boolean {
  try {
    return readSync(socket, Buffer.alloc(1)) === 0;
  } catch {
    return false;
  }
}

test('closes that hang on no account do not hold up others on none', async () => {
  const sockets = Array.from({ length: 70 }, lingering);
  defer(() => {
    for (const { letGo } of sockets) letGo();
  });
  for (const { fd } of sockets) native.close(fd);
  await within(5_000, 'threads have taken what they may', () => native.queuedCloses() < sockets.length);
  // Until it is clear that those hang.
  await delay(100);
  const [socket, end] = native.socketPair();
  native.close(socket);
  await within(5_000, 'it is closed', () => hungUp(end));
  native.close(end);
  assert.ok(native.pendingCloses() >= sockets.length);
});

test('worker.terminate() waits for no close, and all is closed in the end', async () => {
  const worker = new Worker(new URL('./fixtures/worker-that-closes.js', import.meta.url));
  const [peers] = (await once(worker, 'message')) as [number[]];
  await settledWithin(5_000, 'the worker ends', worker.terminate());
  for (const fd of peers) closeSync(fd);
});

const SCENARIOS: Record<string, string> = {
  reused: 'a FUSE file system that gets the device number of a file system in memory',
  exit: 'process.exit() while a close hangs',
  end: 'the end of a program while closes hang',
  awaited: 'a program that waits for a close, and for nothing else',
  unsupported: 'a kernel without statx',
};

for (const [scenario, what] of Object.entries(SCENARIOS)) {
  const needsFaults = scenario === 'unsupported';
  test(what, { skip: needsFaults && whyNoFaults() }, async (t) => {
    const env = needsFaults ? { LD_PRELOAD: failingSyscalls() } : {};
    const result = await runFixture('./fixtures/closing.js', import.meta.url, [scenario], env, 30_000);
    if (result.code === 77) return t.skip(result.stdout);
    assert.deepEqual(result, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
    return undefined;
  });
}
