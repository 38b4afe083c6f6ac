/** What a server tells in a response of what it has sent in the call, and how a client parses it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAnswer, parseAnswer } from '#src/grpc/fds-metadata.js';
import { SentRanges } from '#src/grpc/sent-ranges.js';

const ANSWERS: Readonly<Record<string, [sent: { first: number; last: number }[], text: string]>> = {
  nothing: [[], 'c'],
  'one number': [[{ first: 5, last: 5 }], 'c;5'],
  ranges: [
    [
      { first: 1, last: 3 },
      { first: 7, last: 7 },
      { first: 9, last: 1000 },
    ],
    'c;1-3;7;9-1000',
  ],
};

for (const [what, [sent, text]] of Object.entries(ANSWERS)) {
  test(`An answer that tells of ${what} is formatted, and read back as it was`, () => {
    assert.equal(formatAnswer('c', sent), text);
    assert.deepEqual(parseAnswer(text), { connectionId: 'c', sent });
  });
}

const MALFORMED = [
  '',
  ';1',
  'c;',
  'c;1-',
  'c;-1',
  'c;1-2-3',
  'c;x',
  'c;1,2',
  `c;${'9'.repeat(16)}`,
  'not good',
];

for (const text of MALFORMED) {
  test(`An answer "${text}" is not understood`, () => {
    assert.equal(parseAnswer(text), undefined);
  });
}

test('Numbers that follow one another are one range', () => {
  const sent = new SentRanges();
  for (const sequence of [3, 4, 5, 9, 11, 12]) sent.add(sequence);
  assert.equal(formatAnswer('c', sent.all), 'c;3-5;9;11-12');
});

test('An answer has at most 64 ranges, the newest ones', () => {
  const sent = new SentRanges();
  for (let sequence = 1; sequence <= 1000; sequence += 3) sent.add(sequence);
  assert.equal(sent.all.length, 64);
  assert.deepEqual(sent.all.at(-1), { first: 1000, last: 1000 });
  assert.deepEqual(sent.all[0], { first: 1000 - 63 * 3, last: 1000 - 63 * 3 });
  const text = formatAnswer('c', Array(100).fill({ first: 1, last: 2 }));
  assert.equal(parseAnswer(text)?.sent.length, 64);
});
