import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFixture } from '../support/child.js';
import { failingSyscalls, whyNoFaults } from '../support/failing-syscalls.js';
import { trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

test('Pipes are opened anew where the kernel cannot read and write them without waiting', {
  skip: whyNoFaults(),
}, async () => {
  const environment = { LD_PRELOAD: failingSyscalls() };
  const { code, stdout, stderr } = await runFixture(
    './fixtures/opened-anew.js',
    import.meta.url,
    [],
    environment,
  );
  assert.deepEqual([code, stdout], [0, 'passed\n'], stderr);
});
