/** The account of a process: what it leaves out, and what it does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Book } from './book.js';

test('many faults of one kind do not hide one of another kind', () => {
  const book = new Book(true);
  for (let index = 0; index < 1_000; index++) book.problem('wrong file', `number ${index}`);
  book.problem('leak', 'a descriptor');
  const { problems } = book.report('alive');
  assert.ok(problems.length < 100, 'reports stay short');
  assert.deepEqual(problems.at(-1), { fault: 'leak', text: 'a descriptor' });
});
