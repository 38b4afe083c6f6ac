/** `npm run test:faults`: see scripts/test-faults.mjs. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { sharedCertificates } from '../support/certificates.js';
import { cleanUp } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { compileFaultyLibc, whyNoInjection } from './inject.js';
import { countCalls, ERRORS, failEach, failFirst, type Row } from './matrix.js';
import { BAD } from './plan.js';
import { markdownOf, tableOf } from './report.js';
import { FIRST_USE, SCENARIOS } from './scenarios.js';

const { values: options } = parseArgs({
  options: {
    markdown: { type: 'string' },
    scenario: { type: 'string', multiple: true },
    syscall: { type: 'string', multiple: true },
    error: { type: 'string', multiple: true },
    step: { type: 'string', default: '1' },
    progress: { type: "boolean" },
    jobs: { type: 'string', default: '2' },
    json: { type: 'string' },
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
const rows: Row[] = [];
const add = (row: Row) => {
  rows.push(row);
  if (options.progress) console.error(`${row.scenario} ${row.syscall} ${row.call} ${row.error}: ${row.outcome}`);
  if (BAD.test(row.outcome)) console.log(JSON.stringify(row));
};

const jobs: (() => Promise<void>)[] = [];
const isWantedCall = (name: string) => options.syscall === undefined || options.syscall.includes(name);
for (const { name } of SCENARIOS.filter((each) => isWanted(options.scenario, each.name))) {
  jobs.push(async () => {
    const syscalls = [...(await countCalls(name, false, library)).keys()].filter(isWantedCall);
    if (syscalls.length > 0) await failEach(name, syscalls, { errors, first: 1, step: Number(options.step) }, library, add);
  });
}
if (isWanted(options.scenario, 'first use')) {
  const later = await countCalls(FIRST_USE, false, library);
  for (const [syscall, count] of await countCalls(FIRST_USE, true, library)) {
    // What comes again and again is in the scenario itself.
    const first = Math.min(count, count - (later.get(syscall) ?? 0) + 2);
    if (!isWantedCall(syscall)) continue;
    for (const error of errors) {
      for (let call = 1; call <= first; call++) {
        jobs.push(async () => {
          const row = await failFirst(FIRST_USE, syscall, error, call, library);
          if (row !== undefined) add({ ...row, scenario: 'first use' });
        });
      }
    }
  }
}
const total = jobs.length;
const work = async () => {
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
    await job();
    if (process.stderr.isTTY) process.stderr.write(`\r${total - jobs.length} of ${total}`);
  }
};
await Promise.all(Array.from({ length: Number(options.jobs) }, work));
await cleanUp();

console.log(tableOf(rows));
if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(rows, null, 1));
if (options.markdown !== undefined) writeFileSync(options.markdown, markdownOf(rows));
const bad = rows.filter(({ outcome }) => BAD.test(outcome));
console.log(`${rows.length} faults, ${bad.length} of them with an outcome that is not documented`);
process.exitCode = bad.length === 0 ? 0 : 1;
