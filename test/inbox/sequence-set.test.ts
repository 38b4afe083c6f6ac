import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SequenceSet } from '#src/inbox/sequence-set.js';
import { randomFrom, seedOfThisRun } from '../support/random.js';

/** More intervals than a set keeps. */
const MANY = 5000;

describe('SequenceSet', () => {
  const setOf = (...numbers: number[]): SequenceSet => {
    const set = new SequenceSet();
    for (const number of numbers) set.add(number);
    return set;
  };
  const within = (set: SequenceSet, last: number): number[] =>
    Array.from({ length: last + 1 }, (_, number) => number).filter((number) => set.has(number));

  test('has nothing at first', () => {
    assert.deepEqual(within(new SequenceSet(), 10), []);
  });

  for (const order of [
    [1, 2, 3],
    [3, 2, 1],
    [1, 3, 2],
    [2, 2, 1, 3, 1],
  ]) {
    test(`has what was added, in the order ${order.join(', ')}, and not what is next to it`, () => {
      assert.deepEqual(within(setOf(...order), 10), [1, 2, 3]);
    });
  }

  test('keeps apart what does not touch, and joins what a number between them makes touch', () => {
    const set = setOf(1, 2, 8, 9, 5);
    assert.deepEqual(within(set, 12), [1, 2, 5, 8, 9]);
    for (const number of [3, 4, 7, 6]) set.add(number);
    assert.deepEqual(within(set, 12), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('agrees with a Set over random numbers', (t) => {
    const seed = seedOfThisRun();
    t.diagnostic(`GRPCFD_SEED=${seed}`);
    const random = randomFrom(seed);
    const [set, model] = [new SequenceSet(), new Set<number>()];
    for (let step = 0; step < 2000; step++) {
      const number = random(1500);
      set.add(number);
      model.add(number);
      const asked = random(1500);
      assert.equal(set.has(asked), model.has(asked), `${asked}`);
    }
    assert.deepEqual(
      within(set, 1500),
      [...model].sort((a, b) => a - b),
    );
  });

  test('with more gaps than it keeps, forgets the oldest of them and nothing that was added', () => {
    const set = new SequenceSet();
    for (let number = 1; number <= MANY; number++) set.add(2 * number);
    for (let number = 1; number <= MANY; number++) assert.ok(set.has(2 * number));
    assert.equal(set.has(3), true, 'a gap that was given up');
    assert.equal(set.has(2 * MANY - 1), false, 'a gap that was kept');
    assert.equal(set.has(2 * MANY + 1), false);
    assert.equal(set.has(1), false);
  });
});
