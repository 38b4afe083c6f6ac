import assert from 'node:assert/strict';
import { fstatSync, readFileSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { close, native } from '#src/native/binding.js';
import { F_SEAL_SEAL, F_SEAL_SHRINK, MFD_ALLOW_SEALING, TMPFS_MAGIC } from '#src/native/file-types.js';
import { defer, trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

function memFd(size: number, flags = MFD_ALLOW_SEALING): number {
  const fd = native.memFd('native', size, flags);
  defer(() => close(fd));
  return fd;
}

test('memFd makes a close-on-exec memfd with the given name and size', () => {
  const fd = memFd(12_345);
  assert.equal(fstatSync(fd).size, 12_345);
  assert.equal(readlinkSync(`/proc/self/fd/${fd}`), '/memfd:native (deleted)');
  assert.match(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'), /^flags:\s*02\d{6}$/m);
  assert.equal(native.fileSystemType(fd), TMPFS_MAGIC);
  assert.throws(() => native.memFd('x'.repeat(250), 0, 0), { code: 'EINVAL', syscall: 'memfd_create' });
});

test('Seals can be added and read, and are final', () => {
  const fd = memFd(1);
  assert.equal(native.getSeals(fd), 0);
  native.addSeals(fd, F_SEAL_SHRINK);
  native.addSeals(fd, F_SEAL_SEAL);
  assert.equal(native.getSeals(fd), F_SEAL_SHRINK | F_SEAL_SEAL);
  assert.throws(() => native.addSeals(fd, F_SEAL_SHRINK), { code: 'EPERM', syscall: 'fcntl' });
  assert.equal(native.getSeals(memFd(1, 0)), F_SEAL_SEAL);
  const [pipe, other] = native.testing.pipe();
  defer(() => [pipe, other].map(close));
  assert.throws(() => native.getSeals(pipe), { code: 'EINVAL', syscall: 'fcntl' });
  assert.throws(() => native.fileSystemType(-1), { code: 'EBADF', syscall: 'fstatfs' });
});

test('map throws the error of the kernel for invalid arguments', () => {
  const fd = memFd(4096);
  assert.throws(() => native.map(fd, 0, false), { code: 'EINVAL', syscall: 'mmap' });
  assert.throws(() => native.map(-1, 4096, false), { code: 'EBADF', syscall: 'mmap' });
  assert.throws(() => native.map(fd, 2 ** 50, false), { code: 'ENOMEM', syscall: 'mmap' });
});

test('The functions for memory refuse arguments of the wrong type', () => {
  const any = (value: unknown) => value as never;
  const fd = memFd(1);
  for (const size of [-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY, '1', 1n, undefined]) {
    assert.throws(() => native.memFd('x', any(size), 0), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => native.map(fd, any(size), false), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  assert.throws(() => native.map(fd, 1, any(1)), { code: 'ERR_INVALID_ARG_TYPE' });
  for (const buffer of [new ArrayBuffer(8), new Uint8Array(8), {}, null, undefined, 1]) {
    assert.throws(() => native.unmap(any(buffer)), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => native.populate(any(buffer)), { code: 'ERR_INVALID_ARG_TYPE' });
  }
});
