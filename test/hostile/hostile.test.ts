/** The short form of `npm run test:hostile`. The figures are printed, and none of them is a time that has to be kept. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutRoot } from '../support/other-user.js';
import { seedOfThisRun } from '../support/random.js';
import { runStorm } from './run.js';
import { STORMS } from './storms.js';
import { rowOf } from './table.js';

const SECONDS = 1;

for (const storm of STORMS) {
  const skip = storm.user === undefined ? false : withoutRoot;
  test(`${storm.name}: memory and table stay bounded, bystanders get their files, and nothing is left`, {
    skip,
  }, async (t) => {
    const seed = seedOfThisRun();
    t.diagnostic(`GRPCFD_SEED=${seed}`);
    const { figures, problems } = await runStorm({ storm, seconds: SECONDS, seed });
    if (figures !== undefined) t.diagnostic(rowOf(storm.name, figures).join(' | '));
    assert.deepEqual(problems, []);
  });
}
