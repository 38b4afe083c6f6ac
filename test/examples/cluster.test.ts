/** The example `cluster`, by the commands of its README. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trackDescriptors } from '../support/fd-table.js';
import { exampleReadme } from '../support/page.js';
import { runInRoot } from '../support/run-command.js';

trackDescriptors();

const { commands, shown } = exampleReadme('cluster');

test('The cluster example prints what its README shows: each worker gets as many calls as the others', async () => {
  assert.equal(await runInRoot(commands[0]), shown);
});

test('The cluster example without the policy of turns has all its calls answered', async () => {
  const lines = (await runInRoot(commands[1])).trimEnd().split('\n');
  const counts = lines.map((line) => Number(/^worker \d answered (\d+) calls$/.exec(line)?.[1]));
  assert.equal(counts.length, 4);
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    100,
  );
});
