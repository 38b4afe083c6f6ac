/** The short form of `npm run test:restarts`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trackDescriptors } from '../support/fd-table.js';
import { seedOfThisRun } from '../support/random.js';
import { runRestarts, SECURITIES } from './run.js';

trackDescriptors();

const RESTARTS = 15;
/** Restarts that do not fit into this time are left out, but for one of each kind. */
const DURATION_MS = 6_000;

for (const security of SECURITIES) {
  test(`${security}: restarts under load lose no call, no descriptor and no file`, async (t) => {
    const seed = seedOfThisRun();
    t.diagnostic(`GRPCFD_SEED=${seed}`);
    const { figures, problems } = await runRestarts({
      security,
      restarts: RESTARTS,
      seed,
      deadline: Date.now() + DURATION_MS,
    });
    t.diagnostic(JSON.stringify(figures));
    assert.deepEqual(problems, []);
    assert.ok(Number(figures['calls']) > 0);
  });
}
