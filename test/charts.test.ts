/** The charts and tables of docs/performance.md come from the committed output of the benchmark, docs/charts/bench.json. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './support/temporary.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const docs = join(root, 'docs');

interface Result {
  readonly ours: number;
  readonly theirs: number | null;
  readonly ratio: number | null;
  readonly low: number | null;
  readonly high: number | null;
}

interface Measured {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly results: Result[];
}

function check(directory: string): { status: number | null; stderr: string } {
  const script = join(root, 'scripts/draw-charts.mjs');
  return spawnSync(process.execPath, [script, '--check', directory], { encoding: 'utf8' });
}

function copyOfDocs(): string {
  const copy = join(temporaryDirectory(), 'docs');
  cpSync(docs, copy, { recursive: true });
  return copy;
}

function readMeasured(directory = docs): Measured {
  return JSON.parse(readFileSync(join(directory, 'charts/bench.json'), 'utf8'));
}

/** The cells of every table of a page without the heading and the label of each row. */
function tableCells(page: string): string[] {
  const rows = page.split('\n').filter((line) => line.startsWith('|'));
  const isRule = (row: string | undefined) => row !== undefined && /^\|( :?-+:? \|)+$/.test(row);
  return rows
    .filter((row, index) => !isRule(row) && !isRule(rows[index + 1]))
    .flatMap((row) => row.split('|').slice(2, -1))
    .map((cell) => cell.trim());
}

/** The ways in which the page may show a measured value. */
function shownAs(value: number): string[] {
  const threeDigits = String(Number(value.toPrecision(3)));
  return [threeDigits, value.toFixed(2), Math.round(value).toLocaleString('en-US')];
}

test('The committed charts and tables are what the script makes of the committed JSON', () => {
  const { status, stderr } = check(docs);
  assert.equal(status, 0, stderr);
});

test('Every committed chart is one that the script draws and that the page shows', () => {
  const copy = copyOfDocs();
  const page = readFileSync(join(copy, 'performance.md'), 'utf8');
  const charts = readdirSync(join(copy, 'charts')).filter((name) => name.endsWith('.svg'));
  for (const name of charts) {
    assert.ok(page.includes(`](charts/${name})`), `performance.md does not show ${name}`);
    writeFileSync(join(copy, 'charts', name), '');
  }
  const { status, stderr } = check(copy);
  assert.equal(status, 1);
  for (const name of charts) assert.ok(stderr.includes(name), `the script does not draw ${name}`);
});

test('The check of the charts fails when one result in the JSON has changed', () => {
  const copy = copyOfDocs();
  const { machine, results } = readMeasured(copy);
  const changed = results.map((result, index) =>
    index === 0 ? { ...result, ratio: 0.123, ours: 1.23 } : result,
  );
  writeFileSync(join(copy, 'charts/bench.json'), JSON.stringify({ machine, results: changed }));
  const { status, stderr } = check(copy);
  assert.equal(status, 1);
  assert.match(stderr, /calls\.svg/);
  assert.match(stderr, /performance\.md/);
});

test('Every table of performance.md is made by the script', () => {
  const page = readFileSync(join(docs, 'performance.md'), 'utf8');
  const written = page.replace(/<!-- table: \w+ -->[\s\S]*?<!-- end -->/g, '');
  assert.doesNotMatch(written, /^\|/m);
});

test('Every figure in the tables of performance.md is in the committed JSON', () => {
  const { machine, results } = readMeasured();
  const shown = new Set(
    results
      .flatMap(({ ours, theirs, ratio, low, high }) => [ours, theirs, ratio, low, high])
      .concat(Object.values(machine).filter((value) => typeof value === 'number'))
      .flatMap((value) => (value === null ? [] : shownAs(value))),
  );
  // Versions and the date stand as they are.
  const texts = Object.values(machine).filter((value) => typeof value === 'string');
  const cells = tableCells(readFileSync(join(docs, 'performance.md'), 'utf8'));
  assert.ok(cells.length > 100, 'the tables are there');
  for (const cell of cells) {
    const rest = texts.reduce((text, version) => text.replace(version, ''), cell);
    for (const [figure] of rest.matchAll(/-?\d+(,\d{3})*(\.\d+)?/g)) {
      assert.ok(shown.has(figure), `${figure} in the cell "${cell}" is not in bench.json`);
    }
  }
});
