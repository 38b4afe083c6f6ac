import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFixture } from '../support/child.js';
import { failingSyscalls, whyNoFaults } from '../support/failing-syscalls.js';
import { trackDescriptors } from '../support/fd-table.js';
import { freshAddress } from '../support/service.js';

trackDescriptors();

const skip = whyNoFaults();

test('A receive fails with a reason when the kernel gives no information about the file, or no number, and the file can still be received', {
  skip,
}, async () => {
  const { code, stdout, stderr } = await runFixture(
    'fixtures/failing-syscalls.js',
    import.meta.url,
    [freshAddress()],
    { LD_PRELOAD: failingSyscalls() },
  );
  assert.deepEqual([code, stdout], [0, 'passed\n'], stderr);
});
