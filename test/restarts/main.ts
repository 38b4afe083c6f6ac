/** `npm run test:restarts`: see CONTRIBUTING.md. */
import { readOptions } from './options.js';
import { runRestarts, SECURITIES } from './run.js';

const { restarts, seed, minutes } = readOptions(process.argv.slice(2));
console.log(`seed ${seed}`);
const began = performance.now();
const deadline = Date.now() + minutes * 60_000;
const columns: Record<string, Record<string, number>> = {};
const runs = SECURITIES.map(async (security) => {
  const half = Math.ceil(restarts / SECURITIES.length);
  const { figures, problems } = await runRestarts({ security, restarts: half, seed, deadline });
  columns[security] = figures;
  for (const problem of problems) console.log(`PROBLEM, ${security}: ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
});
await Promise.all(runs);
const names = Object.keys(columns[SECURITIES[0]] ?? {});
console.table(
  Object.fromEntries(
    names.map((name) => [
      name,
      Object.fromEntries(SECURITIES.map((security) => [security, columns[security]?.[name]])),
    ]),
  ),
);
console.log(`${Math.round((performance.now() - began) / 1_000)} seconds`);
