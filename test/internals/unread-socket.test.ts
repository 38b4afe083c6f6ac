import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { test } from 'node:test';
import { unreadSocket } from '#src/internals/unread-socket.js';
import { native } from '#src/native/binding.js';
import { trackDescriptors } from '../support/fd-table.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

test('a socket with manualStart reads nothing until somebody listens, and then as any other', async () => {
  const [near, far] = native.socketPair();
  writeSync(far, 'here');
  const socket = unreadSocket(near);
  for (let turns = 0; turns < 10; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(socket.bytesRead, 0);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  assert.equal(String(chunk), 'here');
  native.close(far);
  await once(socket, 'close');
});

test('what Node takes for no socket is closed', () => {
  const fd = fileWith('');
  native.guard(fd);
  assert.throws(() => unreadSocket(fd), { code: 'ERR_INVALID_FD_TYPE' });
});
