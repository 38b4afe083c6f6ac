import assert from 'node:assert/strict';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { close, closeAll, identify, native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { fileWith, temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

function isCloseOnExec(fd: number): boolean {
  const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
  return (Number.parseInt(flags, 8) & 0o2000000) !== 0;
}

test('duplicate returns another close-on-exec number for the same open file', () => {
  const file = fileWith('shared');
  for (const copy of [native.duplicate(file), ...native.duplicateAll([file])]) {
    assert.notEqual(copy, file);
    assert.ok(isCloseOnExec(copy));
    assert.deepEqual(identify([copy]), identify([file]));
    // The write starts where the last one ended: the offset belongs to the open file, which all duplicates share.
    writeSync(copy, '!');
    close(copy);
  }
  const content = Buffer.alloc(8);
  readSync(file, content, 0, 8, 0);
  assert.equal(content.toString(), 'shared!!');
  closeSync(file);
  assert.throws(() => native.duplicate(file), { code: 'EBADF', errno: -9, syscall: 'fcntl' });
});

test('close throws EBADF the second time, and closeAll ignores numbers that are not open', () => {
  const [a, b] = native.testing.pipe();
  close(a);
  assert.throws(() => close(a), {
    code: 'EBADF',
    syscall: 'close',
    message: 'EBADF: bad file descriptor, close',
  });
  closeAll([a, b, -1]);
  assert.throws(() => fstatSync(b), { code: 'EBADF' });
  closeAll([]);
});

test('closeAll: consecutive numbers, gaps, repetitions and any order; nothing else is closed', () => {
  const [file, other] = native.testing.pipe();
  const all = Array.from({ length: 40 }, () => native.duplicate(file));
  const kept = all.filter((_, index) => index % 7 === 3);
  const gone = all.filter((fd) => !kept.includes(fd));
  const last = gone.slice(-2);
  closeAll([-2, -1, ...gone.slice(0, -2), ...last.reverse(), ...gone.slice(0, 3), 2 ** 31 - 1, -(2 ** 31)]);
  for (const fd of gone) assert.throws(() => fstatSync(fd), { code: 'EBADF' });
  assert.equal(identify(kept).length, 2 * kept.length);
  closeAll([...kept, file, other]);
});

test('duplicateAll makes close-on-exec duplicates of all descriptors or of none', () => {
  const [a, b] = native.testing.pipe();
  const copies = native.duplicateAll([a, b, a]);
  assert.deepEqual(identify(copies), identify([a, b, a]));
  assert.equal(new Set([a, b, ...copies]).size, 5);
  for (const copy of copies) assert.ok(isCloseOnExec(copy));
  closeAll(copies);
  close(b);
  assert.throws(() => native.duplicateAll([a, a, b]), { code: 'EBADF', syscall: 'fcntl' });
  close(a);
  assert.deepEqual(native.duplicateAll([]), []);
});

test('Lists of descriptors may have any length', () => {
  const many = Array.from({ length: 1000 }, () => 0);
  const identities = identify(many);
  assert.equal(identities.length, 2000);
  const [dev, ino] = identify([0]);
  assert.ok(identities.every((value, index) => value === (index % 2 === 0 ? dev : ino)));
  native.unguardAll(many);
});

test('open returns a close-on-exec descriptor with the given flags and mode', () => {
  const path = join(temporaryDirectory(), 'new');
  const { O_CREAT, O_EXCL, O_RDWR, O_RDONLY, O_NOFOLLOW } = constants;
  const fd = native.open(path, O_CREAT | O_EXCL | O_RDWR, 0o640);
  defer(() => close(fd));
  assert.ok(isCloseOnExec(fd));
  assert.equal(statSync(path).mode & 0o777, 0o640 & ~process.umask());
  assert.equal(native.statusFlags(fd) & constants.O_RDWR, O_RDWR);
  assert.throws(() => native.open(path, O_CREAT | O_EXCL, 0), { code: 'EEXIST', syscall: 'open' });
  assert.throws(() => native.open(join(path, 'x'), O_RDONLY, 0), { code: 'ENOTDIR' });
  assert.throws(() => native.open('/proc/self/exe', O_RDONLY | O_NOFOLLOW, 0), { code: 'ELOOP' });
  assert.throws(() => native.open('a\0b', O_RDONLY, 0), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('open with O_PATH takes what cannot be opened, and identify tells what it is', () => {
  const fd = native.open('/proc/self/ns/net', native.O_PATH, 0);
  defer(() => close(fd));
  const { dev, ino } = statSync('/proc/self/ns/net', { bigint: true });
  assert.deepEqual(identify([fd, fd]), BigUint64Array.of(dev, ino, dev, ino));
  assert.equal(native.statusFlags(fd) & native.O_PATH, native.O_PATH);
  assert.throws(() => readSync(fd, Buffer.alloc(1)), { code: 'EBADF' });
});

test('identify names all descriptors or throws', () => {
  assert.deepEqual(identify([]), new BigUint64Array());
  assert.throws(() => identify([0, -1]), { code: 'EBADF', syscall: 'statx' });
});

test('Numbers that are not descriptors are refused and never rounded', () => {
  for (const fd of [
    Number.NaN,
    0.5,
    2 ** 32,
    2 ** 31,
    Number.POSITIVE_INFINITY,
    null,
    undefined,
    '1',
    1n,
    {},
  ]) {
    const number = fd as number;
    for (const call of [
      native.duplicate,
      close,
      native.statusFlags,
      native.inode,
      native.peerCredentials,
      native.guard,
      native.unguard,
    ]) {
      assert.throws(() => call(number), { code: 'ERR_INVALID_ARG_TYPE' });
    }
    assert.throws(() => identify([number]), { code: 'ERR_INVALID_ARG_TYPE' });
    for (const call of [closeAll, native.duplicateAll, native.unguardAll]) {
      assert.throws(() => call([0, number]), { code: 'ERR_INVALID_ARG_TYPE' });
    }
  }
  assert.throws(() => closeAll(0 as unknown as number[]), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('peerCredentials works for a unix socket only', () => {
  const [a, b] = native.socketPair();
  assert.deepEqual(native.peerCredentials(a), {
    pid: process.pid,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  });
  closeAll([a, b]);
  const file = openSync('/dev/null', 'r');
  assert.throws(() => native.peerCredentials(file), { code: 'ENOTSOCK', syscall: 'getsockopt' });
  closeSync(file);
});

test('tryLock gives the lock to one holder at a time, until that holder closes', () => {
  const directory = temporaryDirectory();
  const [first, second] = [openSync(directory, 'r'), openSync(directory, 'r')] as const;
  assert.equal(native.testing.tryLock(first), true);
  assert.equal(native.testing.tryLock(second), false);
  closeSync(first);
  assert.equal(native.testing.tryLock(second), true);
  closeSync(second);
  assert.throws(() => native.testing.tryLock(second), { code: 'EBADF', syscall: 'flock' });
});

test('systemError makes errors like those of Node.js, also for an errno that libuv does not know', () => {
  const error = native.systemError(24, 'recvmsg');
  assert.ok(error instanceof Error);
  assert.deepEqual(
    { message: error.message, code: error.code, errno: error.errno, syscall: error.syscall },
    { message: 'EMFILE: too many open files, recvmsg', code: 'EMFILE', errno: -24, syscall: 'recvmsg' },
  );
  assert.equal(native.systemError(native.ETOOMANYREFS, 'sendmsg').code, 'ETOOMANYREFS');
});
