/** What could end a process by a signal, or freeze it: each case in a process of its own, which must end with errors. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';

const HANG_MS = 60_000;

const CASES = {
  shrunk: 'Memory whose sender shortens it',
  closedTwice: 'What is closed twice, after its number has become that of another file,',
  wrongKind: 'A file of each kind that is used as each other kind',
  readOnly: 'What can only be read, and is written,',
  idle: 'Eight idle pipes, sockets and FIFOs that are read and sent',
};

describe('A process', () => {
  trackDescriptors();

  for (const [name, what] of Object.entries(CASES)) {
    test(`survives: ${what} gives errors, and no signal`, async () => {
      // What the process leaves there goes with the directory.
      const env = { TMPDIR: temporaryDirectory() };
      const result = await runFixture('./fixtures/crashes.js', import.meta.url, [name], env, HANG_MS);
      assert.deepEqual(result, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
    });
  }
});
