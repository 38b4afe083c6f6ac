import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { assertFails } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

const NEVER_COMES = 'inode://1/1';

const WRONG_SOURCES: readonly [source: unknown, reason: grpcfd.GrpcFdErrorReason][] = [
  ['', 'ERR_GRPCFD_INVALID_URL'],
  ['file:///etc/passwd', 'ERR_GRPCFD_INVALID_URL'],
  ['inode://1/-2', 'ERR_GRPCFD_INVALID_URL'],
  ['inode://1/18446744073709551616', 'ERR_GRPCFD_INVALID_URL'],
  [new URL('http://localhost/'), 'ERR_GRPCFD_INVALID_URL'],
  ['fd:', 'ERR_GRPCFD_INVALID_REFERENCE'],
  ['fd:a b:1', 'ERR_GRPCFD_INVALID_REFERENCE'],
  ['fd:abc:-1', 'ERR_GRPCFD_INVALID_REFERENCE'],
  [undefined, 'ERR_GRPCFD_INVALID_ARGUMENT'],
  [null, 'ERR_GRPCFD_INVALID_ARGUMENT'],
  [7, 'ERR_GRPCFD_INVALID_ARGUMENT'],
  [{ dev: 1, ino: 2 }, 'ERR_GRPCFD_INVALID_ARGUMENT'],
  [{ dev: -1n, ino: 2n }, 'ERR_GRPCFD_INVALID_ARGUMENT'],
  [{ dev: 1n, ino: 1n << 64n }, 'ERR_GRPCFD_INVALID_ARGUMENT'],
];

for (const [source, reason] of WRONG_SOURCES) {
  const shown =
    typeof source === 'object'
      ? JSON.stringify(source, (_, v) => (typeof v === 'bigint' ? `${v}n` : v))
      : source;
  test(`Receiving ${String(shown)} is refused`, async () => {
    const fds = grpcfd.callCredentials();
    defer(() => fds.close());
    await assertFails(fds.recvFd(source as string), reason, 'INVALID_ARGUMENT');
    await assertFails(fds.recvFile(source as string), reason, 'INVALID_ARGUMENT');
  });
}

test('Receiving with an invalid timeoutMs is refused', async () => {
  const fds = grpcfd.callCredentials();
  for (const timeoutMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
    await assertFails(
      fds.recvFd(NEVER_COMES, { timeoutMs }),
      'ERR_GRPCFD_INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
    );
  }
});

test('sendFd, sendFilename and sendFile refuse invalid arguments at once', () => {
  const fds = grpcfd.callCredentials();
  for (const fd of [-1, 1.5, Number.NaN, 2 ** 31, '3', undefined]) {
    assert.throws(() => fds.sendFd(fd as number), { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' });
  }
  assert.throws(() => fds.sendFd(99_999), {
    reason: 'ERR_GRPCFD_SEND_FAILED',
    code: grpc.status.INVALID_ARGUMENT,
  });
  assert.throws(() => fds.sendFilename('/no/such/file'), {
    reason: 'ERR_GRPCFD_OPEN_FAILED',
    code: grpc.status.NOT_FOUND,
  });
  for (const path of ['a\0b', 7, undefined]) {
    assert.throws(() => fds.sendFilename(path as string), { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' });
  }
  for (const flags of ['rw', 1.5, null]) {
    assert.throws(() => fds.sendFilename('/dev/null', { flags: flags as string }), {
      reason: 'ERR_GRPCFD_INVALID_ARGUMENT',
    });
  }
  assert.throws(() => fds.sendFile({} as { fd: number }), { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' });
});
