/** The tables at the end of a soak. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { OneSidedRow, PairRow } from './audit.js';
import { increase } from './book.js';
import type { Cell } from './cell.js';
import { type Counts, FAULTS } from './messages.js';
import type { Options } from './options.js';
import type { Party } from './party.js';
import type { Outcome } from './run.js';

type Row = Record<string, string | number>;

interface Table {
  readonly title: string;
  readonly rows: Readonly<Record<string, Row>>;
}

/** Calls by how they ended. Those of killed processes are counted up to a moment before. */
export function callCounts(cells: readonly Cell[]): Counts {
  const counts: Counts = {};
  for (const cell of cells) {
    for (const source of [cell.counts, ...cell.parties.map(({ report }) => report?.counts ?? {})]) {
      for (const [name, count] of Object.entries(source)) {
        const status = /^(?:calls|rows): (.*)$/.exec(name)?.[1];
        if (status !== undefined) increase(counts, status, count);
      }
    }
  }
  return counts;
}

export function tablesOf(outcome: Outcome): Table[] {
  const { cells, parties, pairs } = outcome;
  return [
    { title: 'Faults', rows: byName(FAULTS.map((fault) => [fault, { count: countOf(outcome, fault) }])) },
    { title: 'Calls, by their status', rows: byName(cells.map((cell) => [cell.name, callCounts([cell])])) },
    { title: 'Kills and restarts', rows: byName(cells.map((cell) => [cell.name, disturbances(cell)])) },
    { title: 'Descriptors between processes that both finished', rows: pairRows(pairs) },
    {
      title:
        'Descriptors between a process that finished, which counts, and one that was killed or is a Go peer',
      rows: oneSidedRows(outcome.oneSided),
    },
    { title: 'What became of descriptors, in processes that finished', rows: fates(parties) },
    { title: 'Processes', rows: processRows(parties) },
  ];
}

export function verdictOf(outcome: Outcome): string {
  const counts = FAULTS.map((fault) => `${countOf(outcome, fault)} ${fault}`).join(', ');
  return `${Math.round(outcome.seconds)} seconds. ${counts}`;
}

export function markdownOf(outcome: Outcome, options: Options): string {
  const command = `npm run soak -- --minutes ${options.minutes} --seed ${options.seed}`;
  const tables = tablesOf(outcome).map(({ title, rows }) => `## ${title}\n\n${markdownTable(rows)}`);
  return `# Soak report

Written by \`${command} --markdown docs/soak-report.md\`, which CONTRIBUTING.md of the repository describes. It ran for ${Math.round(outcome.seconds)}
seconds.

| | |
| --- | --- |
${Object.entries(versions())
  .map(([name, version]) => `| ${name} | ${version} |`)
  .join('\n')}

- "Taken" are descriptors that users received, and "closed" those that the package closed because nobody did. What came from a Go peer is both:
  users receive duplicates of it.
- "Unread" are descriptors that were sent on a connection which ended before its other end had read them.
- Processes that take each other's place have one row.

${tables.join('\n\n')}
`;
}

function versions(): Record<string, string> {
  const root = new URL('../../../', import.meta.url);
  const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
  const grpcJs = JSON.parse(read('node_modules/@grpc/grpc-js/package.json')) as { version: string };
  const goModule = read('interop/go/go.mod');
  return {
    'Node.js': process.versions.node,
    '@grpc/grpc-js': grpcJs.version,
    'grpc-go': /google\.golang\.org\/grpc v(\S+)/.exec(goModule)?.[1] ?? '',
    'github.com/edwarnicke/grpcfd': /edwarnicke\/grpcfd v(\S+)/.exec(goModule)?.[1] ?? '',
    Linux: /^\d+\.\d+\.\d+/.exec(release())?.[0] ?? release(),
  };
}

function countOf({ problems }: Outcome, fault: string): number {
  return problems.filter((problem) => problem.fault === fault).length;
}

function byName(entries: readonly (readonly [string, Row])[]): Record<string, Row> {
  return Object.fromEntries(entries);
}

function disturbances({ counts }: Cell): Counts {
  return Object.fromEntries(Object.entries(counts).filter(([name]) => !name.startsWith('rows: ')));
}

function pairRows(pairs: readonly PairRow[]): Record<string, Row> {
  const rows: Record<string, Counts> = {};
  for (const { from, to, ...numbers } of pairs) {
    // A process begins with a call to itself.
    if (from !== to) addTo(rows, `${from} → ${withoutCell(to)}`, numbers);
  }
  return rows;
}

function oneSidedRows(all: readonly OneSidedRow[]): Record<string, Row> {
  const rows: Record<string, Counts> = {};
  for (const { name, peer, ...numbers } of all) addTo(rows, `${name} ↔ ${withoutCell(peer)}`, numbers);
  return rows;
}

/** Processes with one name are added up. */
function addTo(rows: Record<string, Counts>, name: string, numbers: Counts): void {
  rows[name] ??= { pairs: 0 };
  increase(rows[name], 'pairs');
  for (const [what, number] of Object.entries(numbers)) increase(rows[name], what, number);
}

function withoutCell(name: string): string {
  return name.slice(name.lastIndexOf(': ') + 2);
}

function fates(parties: readonly Party[]): Record<string, Row> {
  const all: Counts = {};
  const add = (what: string, counts: Counts) => {
    for (const [why, count] of Object.entries(counts)) increase(all, `${what}: ${why}`, count);
  };
  for (const { fate, report } of parties) {
    if (fate !== 'finished' || report === undefined) continue;
    const { own, stats, closedFor } = report;
    if (own !== undefined) {
      add('given', { sent: own.sent });
      add('given, and not sent', own.notSent);
      increase(
        all,
        'sent beyond that, with another attempt of a call or as the call ended',
        stats.sentFds - own.sent,
      );
      add('received', { 'the right file': own.right, 'a wrong file': own.wrong });
      add('received, and not looked at', own.unchecked);
      add('receives that failed', own.notReceived);
    }
    add('closed unclaimed', closedFor);
  }
  return byName(Object.entries(all).map(([what, count]) => [what, { count }]));
}

function processRows(parties: readonly Party[]): Record<string, Row> {
  const rows = new Map<string, Record<'started' | 'killed' | 'peak fds' | 'peak MiB' | 'fds left', number>>();
  for (const { name, fate, peakFds, peakKiB, left } of parties) {
    const row = rows.get(name) ?? { started: 0, killed: 0, 'peak fds': 0, 'peak MiB': 0, 'fds left': 0 };
    rows.set(name, row);
    row.started++;
    if (fate === 'killed') row.killed++;
    row['fds left'] += left;
    row['peak fds'] = Math.max(row['peak fds'], peakFds);
    row['peak MiB'] = Math.max(row['peak MiB'], Math.round(peakKiB / 1024));
  }
  return Object.fromEntries(rows);
}

function markdownTable(rows: Readonly<Record<string, Row>>): string {
  const columns = [...new Set(Object.values(rows).flatMap((row) => Object.keys(row)))];
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return [
    line(['', ...columns]),
    line(['---', ...columns.map(() => '---:')]),
    ...Object.entries(rows).map(([name, row]) => line([name, ...columns.map((column) => row[column] ?? 0)])),
  ].join('\n');
}
