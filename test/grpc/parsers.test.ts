/**
 * The parsers of what a peer writes, with random texts: references, inode URLs, and the metadata in which each end tells what it sent. Texts are
 * made of the pieces of these languages, or are valid ones that were changed in places. `npm run fuzz` makes many more of them than `npm test`:
 * GRPCFD_FUZZ_RUNS is their number for each property.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { inodeToUrl, urlToDevIno, urlToInode } from '#src/descriptor/inode-url.js';
import { GrpcFdError } from '#src/errors.js';
import {
  type FdsEntry,
  type FdsMetadata,
  formatAnnouncement,
  formatAnswer,
  formatFdsMetadata,
  MAX_RANGES,
  parseAnswer,
  parseFdsMetadata,
} from '#src/grpc/fds-metadata.js';
import { formatReference, parseSource } from '#src/grpc/reference.js';

const numRuns = Number(process.env['GRPCFD_FUZZ_RUNS'] ?? 500);

const TOKENS = [
  ...[
    'fd:',
    'inode://',
    'INODE://',
    'inode:',
    ':',
    '+',
    ';',
    '.',
    '/',
    '-',
    '!',
    ',',
    '?',
    '#',
    '@',
    ' ',
    '\n',
    '\0',
  ],
  ...['%3', '%30', '%', '0', '1', '42', '007', '999999999999999', '1000000000000000', '18446744073709551615'],
  ...[
    '18446744073709551616',
    '999999999999999999',
    '1/2',
    'a.0.1.2/3',
    'Xy_-',
    'id',
    'id'.repeat(40),
    '0'.repeat(50),
    'é',
    '٤',
    '\ud800',
  ],
];

const NUMBERS = ['0', '7', '1/2', '999999999999999', '999999999999999999', `${'0'.repeat(50)}/1`, 'id'];

const id = fc.stringMatching(/^[\w-]{1,64}$/);
const count = fc.nat({ max: 999_999_999_999_999 });
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const inode = fc.tuple(uint64, uint64).map(([dev, ino]) => `${dev}/${ino}`);
const part = fc.record({ id, number: count });

const reference = fc
  .tuple(part, fc.array(part, { maxLength: 5 }))
  .map(([{ id: first, number }, others]) => formatReference(first, number, others));

/** Some of them follow each other, as they do in a call, and some were not sent. */
const entries = fc
  .array(
    fc.record({ id: fc.constantFrom('a', 'b-1'), step: fc.nat({ max: 2 }), sent: fc.boolean(), inode }),
    {
      maxLength: 20,
    },
  )
  .map((steps) => {
    let next = 0;
    return steps.map((each): FdsEntry => {
      next += each.step;
      return { id: each.id, number: next, sequence: each.sent ? next + 1 : 0, inode: each.inode };
    });
  });
const metadata = fc.tuple(id, entries).map(([own, all]) => formatFdsMetadata(own, all));
const answer = fc.array(fc.tuple(count, count), { maxLength: MAX_RANGES }).map((ranges) =>
  formatAnswer(
    'own',
    ranges.map(([first, last]) => ({ first, last })),
  ),
);

/** A valid text with some of its characters replaced, and others put between them. */
const changed = (valid: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(
      valid,
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 3 }), fc.constantFrom(...TOKENS)), { maxLength: 4 }),
    )
    .map(([text, edits]) =>
      edits.reduce((before, [at, removed, token]) => {
        const index = at % (before.length + 1);
        return before.slice(0, index) + token + before.slice(index + removed);
      }, text),
    );

/** Mostly of the right form, with numbers and ids that may be too long. */
const nearly = fc
  .tuple(
    fc.constantFrom('fd:', 'inode://', 'own;', 'c;a.'),
    fc.array(fc.constantFrom(...NUMBERS), { minLength: 1, maxLength: 5 }),
    fc.constantFrom(':', '/', '.', '-'),
  )
  .map(([head, numbers, separator]) => head + numbers.join(separator));

const anyText = fc.oneof(
  nearly,
  fc.array(fc.constantFrom(...TOKENS), { maxLength: 30 }).map((tokens) => tokens.join('')),
  changed(fc.oneof(reference, inode.map(inodeToUrl), metadata, answer)),
  fc.string({ unit: 'binary', maxLength: 80 }),
);

function check<T>(texts: fc.Arbitrary<T>, property: (text: T) => void): void {
  fc.assert(fc.property(texts, property), { numRuns });
}

/** Undefined if it throws an error that is documented for a malformed name, which quotes little of it. */
function parsed<Result>(parse: () => Result): Result | undefined {
  try {
    return parse();
  } catch (error) {
    assert.ok(error instanceof GrpcFdError, String(error));
    assert.match(error.reason, /^ERR_GRPCFD_INVALID_(URL|REFERENCE)$/);
    assert.ok(error.message.length < 2000, `a text of ${error.message.length} characters`);
    return undefined;
  }
}

function entriesOf({ runs }: FdsMetadata): FdsEntry[] {
  return runs.flatMap((run) =>
    run.entries.map((each, index) => ({ ...each, id: run.id, number: run.number + index })),
  );
}

test('every reference is read as it was written', () => {
  check(fc.tuple(part, fc.array(part, { maxLength: 63 })), ([first, others]) => {
    const source = parseSource(formatReference(first.id, first.number, others));
    assert.ok(source.kind === 'reference');
    assert.deepEqual([source.id, source.number], [first.id, first.number]);
    const names = (source.others ?? []).map(({ id: other, number }) => ({ id: other, number }));
    assert.deepEqual(
      names,
      others.map((other) => ({ ...other })),
    );
  });
});

test('every inode URL is read as it was written', () => {
  check(inode, (written) => assert.equal(urlToInode(inodeToUrl(written)), written));
});

test('all metadata are read as they were written', () => {
  check(fc.tuple(id, entries), ([own, all]) => {
    const read = parseFdsMetadata(formatFdsMetadata(own, all));
    assert.ok(read);
    assert.equal(read.connectionId, own);
    assert.deepEqual(entriesOf(read), all);
    assert.deepEqual(parseFdsMetadata(formatAnnouncement(own)), {
      connectionId: own,
      runs: [],
      isAnnouncement: true,
    });
  });
});

test('every answer is read as it was written', () => {
  check(fc.array(fc.tuple(count, count), { minLength: 1, maxLength: MAX_RANGES }), (pairs) => {
    const ranges = pairs.map(([first, last]) => ({ first, last }));
    assert.deepEqual(parseAnswer(formatAnswer('own', ranges), 'own'), ranges);
  });
});

test('a name of any form is refused with its documented error, or means what the formatter writes', () => {
  check(anyText, (text) => {
    const source = parsed(() => parseSource(text));
    if (source === undefined) return;
    const written =
      source.kind === 'inode'
        ? inodeToUrl(source.inode)
        : formatReference(source.id, source.number, source.others);
    assert.deepEqual(parseSource(written), source);
  });
});

test('an inode URL of any form is refused with its documented error, or has two numbers of 64 bits', () => {
  check(anyText, (text) => {
    const numbers = parsed(() => urlToDevIno(text));
    if (numbers === undefined) return;
    for (const number of [numbers.dev, numbers.ino]) assert.equal(BigInt.asUintN(64, number), number);
    assert.equal(urlToInode(text), `${numbers.dev}/${numbers.ino}`);
  });
});

test('metadata of any form are refused, or mean what the formatter writes', () => {
  const texts = fc.oneof(anyText, fc.array(changed(metadata), { maxLength: 3 }));
  check(texts, (text) => {
    const read = parseFdsMetadata(text);
    if (read === undefined) return;
    const all = entriesOf(read);
    assert.ok(read.runs.every((run) => run.entries.length > 0));
    assert.ok(all.every((each) => each.inode.length <= 41));
    for (const { number, sequence } of all)
      assert.ok(Number.isSafeInteger(number) && Number.isSafeInteger(sequence));
    const again = parseFdsMetadata(formatFdsMetadata(read.connectionId, all));
    assert.ok(again, `${JSON.stringify(text)} cannot be written`);
    assert.equal(again.connectionId, read.connectionId);
    assert.deepEqual(entriesOf(again), all);
  });
});

test('an answer of any form tells nothing, or what the formatter writes', () => {
  check(
    fc.oneof(
      anyText,
      changed(answer),
      anyText.map((text) => `own;${text}`),
    ),
    (text) => {
      const ranges = parseAnswer(text, 'own');
      if (ranges === undefined || ranges.length === 0) return;
      assert.ok(ranges.length <= MAX_RANGES);
      assert.deepEqual(parseAnswer(formatAnswer('own', ranges), 'own'), ranges);
    },
  );
});

/** What takes the square of its length takes minutes here. What is linear takes milliseconds. */
const LONG = 50_000;
const HANG_MS = 20_000;

test('no text takes a parser more time than its length is worth', () => {
  const heads = ['', 'fd:', 'inode://', 'inode://1/', 'fd:a:', 'own;', 'a;b.0.1', 'a;'];
  const tails = ['', 'x', '!'];
  const started = performance.now();
  for (const head of heads) {
    for (const token of [...TOKENS, '%30', '.1/2', '+a:1', ';1-2', '; ']) {
      for (const tail of tails) {
        const text = head + token.repeat(Math.ceil(LONG / token.length)) + tail;
        parsed(() => parseSource(text));
        parsed(() => urlToDevIno(text));
        parseFdsMetadata(text);
        parseAnswer(text, 'own');
      }
    }
    assert.ok(
      performance.now() - started < HANG_MS,
      `the texts behind ${JSON.stringify(head)} take too long`,
    );
  }
});
