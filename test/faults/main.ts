/**
 * `npm run test:faults [-- OPTION …]`: each system call of the addon fails in its turn, in each scenario. The exit code is 1 if an outcome is
 * not documented.
 *
 * --scenario PART, --syscall NAME, --error NAME: only these; each may be given several times
 * --step N: of the calls of a system call, only the first and each N-th behind it. Default 1
 * --jobs N: so many processes at a time. Default 2
 * --rows FILE: each outcome is added to that file, as a line of JSON. With --markdown, what a former run has left there counts, too
 * --markdown FILE: puts the table of outcomes into that page, between its two marks
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { sharedCertificates } from '../support/certificates.js';
import { cleanUp } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { compileFaultyLibc, whyNoInjection } from './inject.js';
import { countCalls, ERRORS, failEach, failFirst, type Row } from './matrix.js';
import { BAD } from './plan.js';
import { intoPage, markdownOf, tableOf } from './report.js';
import { FIRST_USES, SCENARIOS } from './scenarios.js';

const { values: options } = parseArgs({
  options: {
    markdown: { type: 'string' },
    scenario: { type: 'string', multiple: true },
    syscall: { type: 'string', multiple: true },
    error: { type: 'string', multiple: true },
    step: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' },
    rows: { type: 'string' },
  },
});

const obstacle = whyNoInjection();
if (obstacle !== false) throw new Error(obstacle);

const library = compileFaultyLibc(temporaryDirectory());
// Made once, and not in each process.
Object.assign(process.env, await sharedCertificates());
const errors = options.error ?? [...ERRORS];
const isWanted = (list: readonly string[] | undefined, name: string) =>
  list === undefined || list.some((part) => name.includes(part));
const isWantedCall = (name: string) => options.syscall === undefined || options.syscall.includes(name);

const rows: Row[] = [];
if (options.rows !== undefined && options.markdown !== undefined && existsSync(options.rows)) {
  const lines = readFileSync(options.rows, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  rows.push(...lines.map((line) => JSON.parse(line) as Row));
}

function add(row: Row): void {
  rows.push(row);
  if (options.rows !== undefined) appendFileSync(options.rows, `${JSON.stringify(row)}\n`);
  if (BAD.test(row.outcome)) console.log(JSON.stringify(row));
}

/** Each has one process at a time. */
const jobs: (() => Promise<void>)[] = [];
for (const { name } of SCENARIOS.filter((each) => isWanted(options.scenario, each.name))) {
  jobs.push(async () => {
    const syscalls = [...(await countCalls(name, false, library)).keys()].filter(isWantedCall);
    const sample = { errors, first: 1, step: Number(options.step) };
    if (syscalls.length > 0) await failEach(name, syscalls, sample, library, add);
  });
}
for (const name of FIRST_USES) {
  if (!isWanted(options.scenario, `first use: ${name}`)) continue;
  jobs.push(async () => {
    const later = await countCalls(name, false, library);
    for (const [syscall, count] of await countCalls(name, true, library)) {
      // What comes again and again is in the scenario itself.
      const first = isWantedCall(syscall) ? count - (later.get(syscall) ?? 0) : 0;
      for (const error of errors) {
        for (let call = 1; call <= first; call += Number(options.step)) {
          const row = await failFirst(name, syscall, error, call, library);
          if (row !== undefined) add({ ...row, scenario: `first use: ${name}` });
        }
      }
    }
  });
}
const work = async () => {
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
};
await Promise.all(Array.from({ length: Number(options.jobs) }, work));
await cleanUp();

console.log(tableOf(rows));
if (options.markdown !== undefined) {
  writeFileSync(options.markdown, intoPage(readFileSync(options.markdown, 'utf8'), markdownOf(rows)));
}
const bad = rows.filter(({ outcome }) => BAD.test(outcome));
console.log(`${rows.length} faults, ${bad.length} of them with an outcome that is not documented`);
process.exitCode = bad.length === 0 ? 0 : 1;
