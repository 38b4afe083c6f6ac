import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

test('A full descriptor table fails sends, and nothing else', async () => {
  const { code, stdout } = await runFixture('fixtures/full-table-sending.js', import.meta.url);
  assert.equal(code, 0, stdout);
});
