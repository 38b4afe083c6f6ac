/** docs/security.md tells the truth about limits, counters, events and tests. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as grpcfd from 'grpcfd';
import { AUTHORIZE_TIMEOUT_MS } from '#src/grpc/authorization.js';
import { MAX_HELD_IN_HANDSHAKE } from '#src/grpc/handshake.js';
import { Admission, MAX_UNDECIDED } from '#src/grpc/server/admission.js';
import { HeldTotal } from '#src/inbox/held-total.js';
import { DEFAULT_LIMITS, LIMIT_RULES } from '#src/inbox/limits.js';
import { MOST_UNREAD } from '#src/socket/bridged-stream.js';
import { shareOfCloses } from '#src/socket/close-queue.js';
import { tableSize } from '#src/socket/table-size.js';
import { shareOfUnread } from '#src/socket/unread-descriptors.js';
import { textOf } from './support/page.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = textOf('docs/security.md');
const limits = page.slice(page.indexOf('## Limits'), page.indexOf('## Storms'));

/** The rows by their first cells, without the marks of code. */
const rows = new Map(
  limits
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .map(([name = '', ...cells]) => [name.replaceAll('`', ''), cells] as const),
);

const native = (path: string, pattern: RegExp) => Number(pattern.exec(textOf(path))?.[1]);
const admission = new Admission({});

const VALUES: Readonly<Record<string, number>> = {
  ...DEFAULT_LIMITS,
  maxHeldFdsTotal: new HeldTotal(undefined, tableSize).limit,
  maxConnections: admission.maxConnections,
  maxConnectionsPerAccount: admission.maxConnectionsPerAccount,
  authorizeTimeoutMs: AUTHORIZE_TIMEOUT_MS,
  'undecided connections': MAX_UNDECIDED,
  'before the end of a TLS handshake': MAX_HELD_IN_HANDSHAKE,
  'waiting to be closed': shareOfCloses(),
  'waiting to be closed, of all': shareOfCloses(),
  'unread by the peer': shareOfUnread(),
  'waiting to be sent': Math.floor(tableSize() * MOST_UNREAD),
  'received in a turn': native('native/bridge.cc', /kDescriptorsPerTurn = (\d+)/),
  'time in a turn': native('native/bridge.cc', /kTimePerTurn\{(\d+)\}/),
  'a session that gave up': native('native/bridge.cc', /kStalledMs = (\d+)/),
};

/** `1024`, or `RLIMIT_NOFILE * 3 / 8, at least 256`. */
function defaultOf(text: string): number {
  const [, base = '', factor = '1', divisor = '1', least = '0'] =
    /^`?(\w+)`?(?: \* (\d+))?(?: \/ (\d+))?(?:, at least (\d+))?$/.exec(text) ?? assert.fail(text);
  const bases: Record<string, number> = {
    RLIMIT_NOFILE: tableSize(),
    maxConnections: admission.maxConnections,
  };
  const value = ((bases[base] ?? Number(base)) * Number(factor)) / Number(divisor);
  return Math.max(base === 'maxConnections' ? Math.ceil(value) : Math.floor(value), Number(least));
}

test('the table of limits has every limit, with the default of the code', () => {
  const shown = [...rows].filter(([name]) => name !== 'limit' && name !== '---');
  assert.deepEqual(new Set(shown.map(([name]) => name)), new Set(Object.keys(VALUES)));
  for (const [name, [text = '']] of shown) assert.equal(defaultOf(text), VALUES[name], name);
  for (const name of Object.keys(LIMIT_RULES)) assert.ok(rows.has(name), name);
});

test('the table of limits names counters and events that exist', () => {
  const counters = new Set(Object.keys(grpcfd.stats()));
  for (const [, name = ''] of textOf('src/grpc/fd-transceiver.ts').matchAll(/readonly (\w+): number;/g))
    counters.add(name);
  const events = [...textOf('src/grpc/diagnostics.ts').matchAll(/channel\('([\w:]+)'\)/g)].map(
    ([, name]) => name,
  );
  for (const [name, cells] of rows) {
    const [, , , , counter = '', event = ''] = cells.map((cell) => cell.replaceAll('`', ''));
    if (name === 'limit' || name === '---') continue;
    assert.ok(counters.has(counter), `${name}: ${counter}`);
    assert.ok(event.trim() === '' || events.includes(event), `${name}: ${event}`);
  }
});

test('every test that a document names exists', () => {
  const documents = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'];
  for (const name of readdirSync(join(root, 'docs')))
    if (name.endsWith('.md')) documents.push(`docs/${name}`);
  let found = 0;
  for (const document of documents) {
    for (const [, path = ''] of textOf(document).matchAll(/`(test\/[\w./-]+\.ts)`/g)) {
      found++;
      assert.ok(existsSync(join(root, path)), `${document}: ${path}`);
    }
  }
  assert.ok(found > 30, `the search found too few: ${found}`);
});
