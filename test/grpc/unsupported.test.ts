import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

test('on another platform, calls work as with grpc-js alone, and what needs a descriptor fails with a reason', async () => {
  const result = await runFixture('./fixtures/unsupported.js', import.meta.url, [temporaryDirectory()]);
  assert.deepEqual(result, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
});
