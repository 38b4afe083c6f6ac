import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

test('What the addon knows of the process outlives the worker that loaded it', async () => {
  const { code, stdout, stderr } = await runFixture('./fixtures/two-workers.js', import.meta.url);
  assert.deepEqual([code, stdout, stderr], [0, 'true\nfalse\n', '']);
});
