import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, FdSocket, listen } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

type Wrong = readonly [name: string, value: unknown, code: string, text: RegExp];

const TYPE = 'ERR_INVALID_ARG_TYPE';
const RANGE = 'ERR_OUT_OF_RANGE';

const SOCKET: readonly Wrong[] = [
  ['allowHalfOpen', 1, TYPE, /^allowHalfOpen must be a boolean, not 1$/],
  ['allowHalfOpen', null, TYPE, /^allowHalfOpen must be a boolean, not null$/],
  ['highWaterMark', '1', TYPE, /^highWaterMark must be an integer of at least 0, not "1"$/],
  ['highWaterMark', 1.5, RANGE, /^highWaterMark must be an integer of at least 0, not 1.5$/],
  ['highWaterMark', -1, RANGE, /^highWaterMark must be /],
  ['highWaterMark', Number.NaN, RANGE, /^highWaterMark must be /],
];

const LISTEN: readonly Wrong[] = [
  ...SOCKET,
  ['path', 1, TYPE, /^path must be a string, not 1$/],
  ['fd', '3', TYPE, /^fd must be an integer from 0 to 2147483647, not "3"$/],
  ['fd', 3, TYPE, /^path must be left out where fd is given, not /],
  ['unlinkOnClose', 0, TYPE, /^unlinkOnClose must be a boolean, not 0$/],
  ['path', undefined, TYPE, /^path must be a string, or fd a number, not undefined$/],
  ['backlog', '1', TYPE, /^backlog must be /],
  ['backlog', -1, RANGE, /^backlog must be /],
  ['mode', '0600', TYPE, /^mode must be an integer from 0 to 0o7777, not "0600"$/],
  ['mode', 0o10000, RANGE, /^mode must be /],
  ['uid', 'root', TYPE, /^uid must be /],
  ['uid', -1, RANGE, /^uid must be an integer from 0 to 4294967294, not -1$/],
  ['gid', 0.5, RANGE, /^gid must be /],
];

test('listen() refuses wrong options', async () => {
  const path = join(temporaryDirectory(), 's');
  for (const [name, value, code, message] of LISTEN) {
    await assert.rejects(listen({ path, [name]: value }), { code, message });
  }
  for (const name of ['mode', 'uid', 'gid']) {
    const message = new RegExp(`^${name} must be left out where fd is given, not 0$`);
    await assert.rejects(listen({ fd: 3, [name]: 0 }), { code: TYPE, message });
  }
  await assert.rejects(listen({}), { code: TYPE, message: /^path must be a string, or fd a number/ });
  await assert.rejects(listen(undefined as never), { code: TYPE, message: /^options must be an object/ });
  await assert.rejects(listen({ path }, 1 as never), {
    code: TYPE,
    message: /^onConnection must be a function/,
  });
});

test('connect() refuses wrong options', async () => {
  const path = join(temporaryDirectory(), 's');
  const listener = await listen({ path });
  defer(() => listener.close());
  const signal: Wrong = ['signal', {}, TYPE, /^signal must be an AbortSignal, not an object$/];
  for (const [name, value, code, message] of [...SOCKET, signal]) {
    await assert.rejects(connect(path, { [name]: value }), { code, message });
  }
  await assert.rejects(connect(path, null as never), { code: TYPE, message: /^options must be an object/ });
  for (const address of [undefined, null, 5, {}, { path: 1 }, { path: undefined, fd: undefined }]) {
    await assert.rejects(connect(address as string), { code: TYPE, message: /^address must be a path/ });
  }
  for (const [fd, code] of [
    ['3', TYPE],
    [-1, RANGE],
  ] as const) {
    await assert.rejects(connect({ fd: fd as number }), { code, message: /^fd must be an integer from 0/ });
  }
  await assert.rejects(connect({ fd: 1 }, { signal: {} as never }), { code: TYPE, message: /^signal must/ });
});

test('new FdSocket() refuses wrong options, and leaves the descriptor to its caller', () => {
  const [a, b] = native.socketPair();
  defer(() => native.closeAll([a, b]));
  for (const [name, value, code, message] of SOCKET) {
    assert.throws(() => new FdSocket({ fd: a, [name]: value }), { code, message });
  }
  for (const [fd, code] of [
    [undefined, TYPE],
    ['3', TYPE],
    [-1, RANGE],
    [0.5, RANGE],
    [2 ** 31, RANGE],
  ] as const) {
    assert.throws(() => new FdSocket({ fd: fd as number }), {
      code,
      message: /^fd must be an integer from 0/,
    });
  }
  assert.throws(() => new FdSocket(undefined as never), {
    code: TYPE,
    message: /^options must be an object/,
  });
});
