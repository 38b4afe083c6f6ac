/** A soak of a few seconds finds the faults that were planted, and no other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trackDescriptors } from '../support/fd-table.js';
import { seedOfThisRun } from '../support/random.js';
import { type Fault, PLANTS, type Plant } from './messages.js';
import { runSoak } from './run.js';

trackDescriptors();

const MINUTES = 3 / 60;
const ONLY = ['steady, plaintext'];
/** After the deadline of the call that hangs. No other call takes so long. */
const HANG_MS = 8_000;

const FOUND: Record<Plant, { readonly fault: Fault; readonly text: RegExp }> = {
  leak: { fault: 'leak', text: /: server left a descriptor: / },
  swap: { fault: 'wrong file', text: /: server: promised .+, and found / },
  hang: { fault: 'hang', text: /: client: unary call, 100 ms: it runs$/ },
};

test('a soak finds a leak, a swapped file and a call that hangs, which were planted', async (t) => {
  const seed = seedOfThisRun();
  t.diagnostic(`GRPCFD_SEED=${seed}`);
  const task = { minutes: MINUTES, seed, only: ONLY, plants: PLANTS, hangMs: HANG_MS };
  const { problems } = await runSoak(task, () => {});
  const findings = Object.entries(FOUND).map(([plant, { fault, text }]) => ({
    plant,
    found: problems.filter((problem) => problem.fault === fault && text.test(problem.text)),
  }));
  for (const { plant, found } of findings)
    assert.ok(found.length > 0, `${plant} is not found: ${JSON.stringify(problems)}`);
  const planted = new Set(findings.flatMap(({ found }) => found));
  assert.deepEqual(
    problems.filter((problem) => !planted.has(problem)),
    [],
  );
});

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
