/** `npm run test:hostile`: see CONTRIBUTING.md. */
import { writeFileSync } from 'node:fs';
import { withoutRoot } from '../support/other-user.js';
import { readOptions } from './options.js';
import { pageOf } from './page.js';
import { runStorm } from './run.js';
import { COLUMNS, type Row, rowOf } from './table.js';

const options = readOptions(process.argv.slice(2));
const { storms, seconds, seed, markdown: file } = options;
console.log(`seed ${seed}`);
const rows: Row[] = [];
for (const storm of storms) {
  if (storm.user !== undefined && withoutRoot !== false) {
    console.log(`${storm.name}: left out, because ${withoutRoot}`);
    continue;
  }
  const { figures, problems } = await runStorm({ storm, seconds, seed });
  for (const problem of problems) console.log(`PROBLEM, ${storm.name}: ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
  if (figures === undefined) continue;
  const row = rowOf(storm.name, figures);
  rows.push(row);
  console.log(`\n${row[0]}`);
  for (const [index, column] of COLUMNS.entries())
    if (index > 0) console.log(`  ${column.padEnd(26)} ${row[index]}`);
}
if (file !== undefined) writeFileSync(file, pageOf(rows, options));
