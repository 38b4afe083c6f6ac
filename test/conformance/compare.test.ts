// That the comparison finds what differs, and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare } from './compare.js';
import type { Library } from './library.js';
import type { Outcome } from './run.js';

type Outcomes = readonly [Outcome, ...Outcome[]];

/** Runs whose outcomes are known, over and over. */
function runs(outcomes: Record<Library, Outcomes>) {
  const counts: Record<Library, number> = { stock: 0, ours: 0 };
  const run = async (library: Library) => {
    const list = outcomes[library];
    return list[counts[library]++ % list.length] ?? list[0];
  };
  return { run, counts };
}

test('one run of each is enough where they agree', async () => {
  const { run, counts } = runs({ stock: [{ call: 'a' }], ours: [{ call: 'a' }] });
  assert.deepEqual(await compare(run), { racy: false, differences: [] });
  assert.deepEqual(counts, { stock: 1, ours: 1 });
});

test('what stock does now and then is no difference', async () => {
  const { run } = runs({ stock: [{ call: 'a' }, { call: 'a' }, { call: 'b' }], ours: [{ call: 'b' }] });
  assert.deepEqual(await compare(run), { racy: true, differences: [] });
});

test('races of several records need not coincide', async () => {
  const stock: Outcomes = [
    { call: 'a', handler: 'x' },
    { call: 'b', handler: 'x' },
    { call: 'a', handler: 'y' },
  ];
  const { run } = runs({ stock, ours: [{ call: 'b', handler: 'y' }] });
  assert.deepEqual(await compare(run), { racy: true, differences: [] });
});

test('what stock never does is a difference, with all that stock does', async () => {
  const { run } = runs({ stock: [{ call: 'a' }, { call: 'b' }], ours: [{ call: 'c' }] });
  assert.deepEqual(await compare(run), {
    racy: true,
    differences: [{ subject: 'call', ours: 'c', stock: ['a', 'b'] }],
  });
});

test('a record that only one of the two has is a difference', async () => {
  const { run } = runs({ stock: [{}], ours: [{ handler: 'start' }] });
  const { differences } = await compare(run);
  assert.deepEqual(differences, [{ subject: 'handler', ours: 'start', stock: ['nothing'] }]);
  const other = await compare(runs({ stock: [{ handler: 'start' }], ours: [{}] }).run);
  assert.deepEqual(other.differences, [{ subject: 'handler', ours: 'nothing', stock: ['start'] }]);
});

test('what ours does only once is let go', async () => {
  const same = { call: 'a' };
  const { run } = runs({ stock: [same], ours: [{ call: 'c' }, same, same, same] });
  assert.deepEqual(await compare(run), { racy: true, differences: [] });
});
