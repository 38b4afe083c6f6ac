import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { assertFails } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { dial, serve } from '../support/service.js';

trackDescriptors();

test('A signal that is already aborted ends a receive on credentials before, during and after a call', async () => {
  const { address } = await serve({ unary: grpcfd.handler(() => ({})) });
  const client = await dial(address);
  using fds = grpcfd.callCredentials();
  const cause = new Error('changed my mind');
  const receive = async () => {
    const aborted = fds.recvFile('inode://1/1', { signal: AbortSignal.abort(cause) });
    assert.equal((await assertFails(aborted, 'ERR_GRPCFD_ABORTED', 'CANCELLED')).cause, cause);
  };
  await receive();
  const call = client.unary({}, fds.options());
  await receive();
  await call;
  await receive();
});
