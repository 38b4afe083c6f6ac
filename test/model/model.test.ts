// The short form of `npm run test:model`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { seedOfThisRun } from '../support/random.js';
import type { Security } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';
import { inThisProcess } from './real/surroundings.js';
import { describeFinding, runHistories } from './run.js';
import { Tally } from './tally.js';

trackDescriptors();

const HISTORIES = 60;
/** What does not fit into this time is left out. */
const DURATION_MS = 5_000;

for (const security of ['plaintext', 'TLS'] satisfies Security[]) {
  test(`${security}: in random histories, each receive gives the file, and each pipe ends, as the rules of ownership say`, async (t) => {
    const tally = new Tally();
    const { surroundings, stop } = await inThisProcess(temporaryDirectory(), security, tally);
    defer(stop);
    for (const seed of [1, seedOfThisRun()]) {
      t.diagnostic(`GRPCFD_SEED=${seed}`);
      const deadline = performance.now() + DURATION_MS;
      const finding = await runHistories({ seed, histories: HISTORIES, deadline, surroundings });
      assert.equal(finding, undefined, finding && describeFinding(finding, security));
    }
    t.diagnostic(`${tally.of('histories')} histories, ${tally.of('steps')} steps`);
    assert.ok(tally.of('files received') > 0);
  });
}
