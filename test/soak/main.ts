/** `npm run soak`: see CONTRIBUTING.md. */
import { writeFileSync } from 'node:fs';
import { readOptions } from './options.js';
import { markdownOf, tablesOf, verdictOf } from './report.js';
import { runSoak } from './run.js';
import { Status } from './status.js';

const options = readOptions(process.argv.slice(2));
console.log(`seed ${options.seed}`);
const status = new Status(options.minutes);
const outcome = await runSoak(options, (cells) => status.show(cells));
status.end();
for (const { title, rows } of tablesOf(outcome)) {
  console.log(`\n${title}`);
  console.table(rows);
}
for (const { fault, text } of outcome.problems) console.log(`PROBLEM, ${fault}: ${text}`);
console.log(`\n${verdictOf(outcome)}`);
if (options.markdown !== undefined) writeFileSync(options.markdown, markdownOf(outcome, options));
process.exitCode = outcome.problems.length === 0 ? 0 : 1;
