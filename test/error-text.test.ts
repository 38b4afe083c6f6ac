import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  cutPeerText,
  fitIntoTrailers,
  MAX_QUOTED_LENGTH,
  MAX_STATUS_BYTES,
  quotePeerText,
} from '#src/error-text.js';
import { GrpcFdError } from '#src/errors.js';

const VALUES: readonly [value: unknown, quoted: string][] = [
  ['fd:a:1', '"fd:a:1"'],
  ['', '""'],
  ['"\\', '"\\"\\\\"'],
  ['é 漢 😀', '"é 漢 😀"'],
  ['a\nb\u0000\u001b[2J', '"a\\nb\\u0000\\u001b[2J"'],
  ['\u007f\u0085\u2028\u202e\ufeff\u{e0001}', '"\\u007f\\u0085\\u2028\\u202e\\ufeff\\u{e0001}"'],
  ['\ud800 \udc00', '"\\ud800 \\udc00"'],
  ['x'.repeat(MAX_QUOTED_LENGTH), `"${'x'.repeat(MAX_QUOTED_LENGTH)}"`],
  [`${'h'.repeat(1000)}${'t'.repeat(1000)}`, `"${'h'.repeat(120)}…${'t'.repeat(60)}" (2000 characters)`],
  // A surrogate pair at either cut is not split.
  [
    `${'h'.repeat(119)}😀${'m'.repeat(99)}😀${'t'.repeat(59)}`,
    `"${'h'.repeat(119)}…😀${'t'.repeat(59)}" (281 characters)`,
  ],
  [-1, '-1'],
  [Number.NaN, 'NaN'],
  [undefined, 'undefined'],
  [null, 'null'],
  [10n ** 1000n, `1${'0'.repeat(119)}…${'0'.repeat(60)} (1001 characters)`],
  [Symbol('s\n'), 'Symbol(s\\u000a)'],
  [['x'.repeat(1000)], 'an object'],
  [Object.create(null), 'an object'],
  [() => 'x', 'a function'],
];

test('A quoted value is escaped and cut, and cannot be mistaken for the text around it', () => {
  for (const [value, quoted] of VALUES) assert.equal(quotePeerText(value), quoted);
});

test('An address at the end of a text is cut and not quoted', () => {
  assert.equal(cutPeerText('/run/a "b".sock'), '/run/a "b".sock');
  assert.equal(
    cutPeerText(`/${'x'.repeat(999)}\n`),
    `/${'x'.repeat(119)}…${'x'.repeat(59)}\\u000a (1001 characters)`,
  );
});

test('A status text that fits into trailers is not changed', () => {
  for (const text of ['', 'no file', '100 %', 'é漢😀', 'x'.repeat(MAX_STATUS_BYTES), '漢'.repeat(455)]) {
    assert.equal(fitIntoTrailers(text), text);
  }
  assert.equal(fitIntoTrailers('bad \ud800 text'), 'bad \ufffd text');
});

test('A status text that does not fit into trailers is cut between two characters, and its length is added', () => {
  const repeated = (part: string, count: number) => part.repeat(count);
  for (const part of ['x', ' ', '\n', 'é', '漢', '😀', 'a😀', '\ud800', '\udc00x', '%']) {
    for (const count of [MAX_STATUS_BYTES + 1, 100_000]) {
      const text = repeated(part, count);
      const fitting = fitIntoTrailers(text);
      const { length } = encodeURI(fitting);
      assert.ok(length <= MAX_STATUS_BYTES && length > MAX_STATUS_BYTES - 100, `${part}: ${length} bytes`);
      const [, kept = '', total] = /^(.*)… \((\d+) characters\)$/s.exec(fitting) ?? [];
      assert.equal(Number(total), text.length);
      assert.ok(Buffer.from(text.slice(0, kept.length)).equals(Buffer.from(kept)), part);
    }
  }
});

test('The text of a GrpcFdError always fits into trailers', () => {
  const args = ['ERR_GRPCFD_NOT_FOUND', 'x'.repeat(100_000)];
  const error: GrpcFdError = Reflect.construct(GrpcFdError, args);
  assert.equal(error.details.length <= MAX_STATUS_BYTES, true);
  assert.equal(error.message, `${error.details} [ERR_GRPCFD_NOT_FOUND]`);
});

test('No source file but error-text.ts converts a value to the text of an error', () => {
  // What the tool prints for programs is JSON.
  const allowed = ['error-text.ts', 'cli/json.ts'];
  const src = fileURLToPath(new URL('../../src', import.meta.url));
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || allowed.includes(file)) continue;
    const lines = readFileSync(join(src, file), 'utf8').split('\n');
    const found = lines.filter((line) => /JSON\.stringify\(|\$\{String\(/.test(line));
    assert.deepEqual(found, [], `${file}: see quotePeerText`);
  }
});
