// The short form of `npm run test:conformance`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trackDescriptors } from '../support/fd-table.js';
import { seedOfThisRun } from '../support/random.js';
import { conformance } from './parent/conformance.js';

trackDescriptors();

const FIXED_SEEDS = 150;
const RANDOM_SEEDS = 150;
/** What does not fit into this time is left out. */
const DURATION_MS = 20_000;

test('connections end, fail and go on as those of stock grpc-js do', async () => {
  const seed = seedOfThisRun();
  console.log(`GRPCFD_SEED=${seed}`);
  const findings: string[] = [];
  const tally = await conformance({
    seeds: seeds(seed),
    scripts: FIXED_SEEDS + RANDOM_SEEDS,
    deadline: Date.now() + DURATION_MS,
    workers: 2,
    failures: 1,
    wanted: () => true,
    onFinding: (text) => findings.push(text),
  });
  assert.ok(tally.total('scripts') > 0, 'no script was run');
  assert.equal(tally.total('differences'), 0, findings.join('\n\n'));
});

/** Fixed and random ones in turn, so that a slow machine runs some of both. */
function* seeds(random: number): Generator<number> {
  for (let index = 0; index < FIXED_SEEDS; index++) {
    yield 1 + index;
    yield random + index;
  }
}
