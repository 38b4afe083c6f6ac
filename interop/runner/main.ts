/**
 * npm run test:interop: the whole matrix, printed as a table. `--json FILE` writes every row; `--only
 * client=node,kind=MEMFD,fds=200` runs a part of it, with its controls; `--through-proxy` puts `grpcfd proxy` between the ends. Fails without Go, and when a row is worse than
 * its control.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { allCells, type Cell, controlKey, isControl, isSound, type MatrixRow } from './matrix.js';
import { reasons, table } from './report.js';
import { runMatrix } from './run-matrix.js';
import { findGo, prepare } from './toolchain.js';

const PROGRESS_STEP = 500;

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    only: { type: 'string' },
    'through-proxy': { type: 'boolean', default: false },
  },
});

function selected(only: string | undefined): Cell[] {
  const cells = allCells();
  const wanted = (only ?? '').split(',').filter((part) => part !== '');
  const chosen = cells.filter((cell) =>
    wanted.every((part) => {
      const [name, value] = part.split('=');
      return Object.entries(cell).some(([key, each]) => key === name && String(each) === value);
    }),
  );
  const keys = new Set(chosen.map(controlKey));
  return cells.filter((cell) => chosen.includes(cell) || (isControl(cell) && keys.has(controlKey(cell))));
}

function inOrder(cells: readonly Cell[], rows: readonly MatrixRow[]): MatrixRow[] {
  const key = (cell: Cell) => `${cell.client},${cell.server},${controlKey(cell)}`;
  const byKey = new Map(rows.map((row) => [key(row), row]));
  return cells.map((cell) => byKey.get(key(cell))).filter((row) => row !== undefined);
}

async function main(): Promise<boolean> {
  const go = await findGo();
  if ('missing' in go) {
    console.error(`The interop matrix needs Go: ${go.missing}`);
    return false;
  }
  const cells = selected(values.only);
  console.log(`${cells.length} rows, Node.js ${process.version} and ${go.version}`);
  await using workplace = await prepare();
  const start = performance.now();
  let done = 0;
  const rows = inOrder(
    cells,
    await runMatrix(
      cells,
      workplace,
      () => {
        done++;
        if (done % PROGRESS_STEP === 0) console.log(`${done} of ${cells.length}`);
      },
      { throughProxy: values['through-proxy'] },
    ),
  );
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ rows }, undefined, 1)}\n`);
  console.log(table(rows));
  console.log(reasons(rows));
  const unsound = rows.filter((row) => !isSound(row));
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(
    `\n${rows.length} rows in ${seconds} s: ${rows.filter(({ ok }) => ok).length} passed, ` +
      `${rows.filter((row) => !row.ok && isSound(row)).length} failed as Go to Go does, ${unsound.length} are worse`,
  );
  return unsound.length === 0 && rows.length === cells.length;
}

process.exitCode = (await main()) ? 0 : 1;
