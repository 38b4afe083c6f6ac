/** The example `metrics`, by the command of its README. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trackDescriptors } from '../support/fd-table.js';
import { exampleReadme } from '../support/page.js';
import { runInRoot } from '../support/run-command.js';

trackDescriptors();

test('The metrics example exports the counters that its README shows', async () => {
  const { commands, shown } = exampleReadme('metrics');
  assert.equal(await runInRoot(commands[0]), shown);
});
