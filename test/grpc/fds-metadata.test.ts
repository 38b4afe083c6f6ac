/** The metadata in which a client names the descriptors of a call, and how a server parses it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type FdsEntry,
  formatAnnouncement,
  formatFdsMetadata,
  NOT_SENT,
  parseFdsMetadata,
} from '#src/grpc/fds-metadata.js';

function entry(id: string, number: number, sequence: number): FdsEntry {
  return { id, number, sequence, inode: `26/${1000 + number}` };
}

const CASES: Readonly<Record<string, readonly [entries: readonly FdsEntry[], text: string]>> = {
  'no descriptor': [[], 'c'],
  'one run': [[entry('a', 0, 5), entry('a', 1, 6), entry('a', 2, 7)], 'c;a.0.5.26/1000.26/1001.26/1002'],
  'two ids': [[entry('a', 0, 1), entry('b', 1, 2)], 'c;a.0.1.26/1000;b.1.2.26/1001'],
  'a gap in the numbers': [[entry('a', 0, 1), entry('a', 2, 2)], 'c;a.0.1.26/1000;a.2.2.26/1002'],
  'a gap in the sequence numbers': [[entry('a', 0, 1), entry('a', 1, 3)], 'c;a.0.1.26/1000;a.1.3.26/1001'],
  'some attachments that were released unsent': [
    [
      entry('a', 0, 1),
      entry('a', 1, NOT_SENT),
      entry('a', 2, NOT_SENT),
      entry('a', 3, 2),
      entry('a', 4, NOT_SENT),
    ],
    'c;a.0.1.26/1000;a.1.0.26/1001.26/1002;a.3.2.26/1003;a.4.0.26/1004',
  ],
  'an attachment that was released before the first one': [
    [entry('a', 0, NOT_SENT), entry('a', 1, 1)],
    'c;a.0.0.26/1000;a.1.1.26/1001',
  ],
};

for (const [what, [entries, text]] of Object.entries(CASES)) {
  test(`Metadata with ${what} is formatted, and read back as it was`, () => {
    assert.equal(formatFdsMetadata('c', entries), text);
    const read = parseFdsMetadata(text);
    assert.equal(read?.connectionId, 'c');
    const known = read?.runs.flatMap(({ id, number, entries }) =>
      entries.map((each, index) => ({ id, number: number + index, ...each })),
    );
    assert.deepEqual(known, entries);
  });
}

test('The last one of several values of the key counts', () => {
  assert.deepEqual(parseFdsMetadata(['a;x.0.1.1/1', 'b']), { connectionId: 'b', runs: [] });
  assert.deepEqual(parseFdsMetadata('a;x.0.1.1/1, b'), { connectionId: 'b', runs: [] });
});

test('Metadata that only tells the id of a connection is known', () => {
  const text = formatAnnouncement('c');
  assert.deepEqual(parseFdsMetadata(text), { connectionId: 'c', runs: [], isAnnouncement: true });
  assert.equal(parseFdsMetadata('!'), undefined);
});

test('An inode that is longer than two 64-bit numbers is refused', () => {
  const longest = `${2n ** 64n - 1n}/${2n ** 64n - 1n}`;
  assert.equal(parseFdsMetadata(`c;x.0.1.${longest}`)?.runs.length, 1);
  assert.equal(parseFdsMetadata(`c;x.0.1.0${longest}`), undefined);
});
