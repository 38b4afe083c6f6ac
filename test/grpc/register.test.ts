import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

test("After importing 'grpcfd/register', every grpc.Server of the process supports serverCredentials()", async () => {
  const result = await runFixture('./fixtures/registered.js', import.meta.url, [temporaryDirectory()]);
  assert.deepEqual(result, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
});
