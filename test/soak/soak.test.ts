/** A soak of a few seconds finds the fault that was planted, and no other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trackDescriptors } from '../support/fd-table.js';
import { seedOfThisRun } from '../support/random.js';
import type { Fault, Plant } from './messages.js';
import { runSoak } from './run.js';

trackDescriptors();

const MINUTES = 3 / 60;
const ONLY = ['steady, plaintext'];
/** After the deadline of the call that hangs. */
const HANG_MS = 2_000;

const PLANTED: Record<Plant, { readonly fault: Fault; readonly text: RegExp }> = {
  leak: { fault: 'leak', text: /left a descriptor: / },
  swap: { fault: 'wrong file', text: /^steady, plaintext: .*: promised .+, and found / },
  hang: { fault: 'hang', text: /unary call, 100 ms: it runs$/ },
};

for (const [plant, { fault, text }] of Object.entries(PLANTED)) {
  test(`a soak finds a planted fault: ${plant}`, async (t) => {
    const seed = seedOfThisRun();
    t.diagnostic(`GRPCFD_SEED=${seed}`);
    const task = { minutes: MINUTES, seed, only: ONLY, plant: plant as Plant, hangMs: HANG_MS };
    const { problems } = await runSoak(task, () => {});
    assert.ok(problems.length > 0, 'it is found');
    for (const problem of problems) {
      assert.equal(problem.fault, fault, problem.text);
      assert.match(problem.text, text);
    }
  });
}

test('a soak in which nothing is planted finds nothing, and adds up what was sent', async (t) => {
  const seed = seedOfThisRun();
  t.diagnostic(`GRPCFD_SEED=${seed}`);
  const { problems, pairs } = await runSoak({ minutes: MINUTES, seed, only: ONLY }, () => {});
  assert.deepEqual(problems, []);
  const between = pairs.filter(({ from, to }) => from !== to);
  assert.ok(between.some(({ sent }) => sent > 0));
  for (const { sent, received, taken, closed } of between) {
    assert.equal(sent, received);
    assert.equal(received, taken + closed);
  }
});
