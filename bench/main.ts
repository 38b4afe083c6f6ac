/** `npm run bench`: see docs/performance.md. */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { handoff } from './cases/handoff.js';
import { limit } from './cases/limit.js';
import { overhead } from './cases/overhead.js';
import { payload } from './cases/payload.js';
import { scale } from './cases/scale.js';
import { start } from './cases/start.js';
import { describeMachine, loadOfLastMinute } from './lib/machine.js';
import { Progress } from './lib/progress.js';
import { Suite } from './lib/suite.js';
import { formatTable } from './lib/table.js';

const BENCHES: Readonly<Record<string, (suite: Suite) => Promise<void>>> = {
  overhead,
  handoff,
  limit,
  payload,
  scale,
  start,
};

const USAGE = `npm run bench [-- OPTIONS]
  --only NAME    one of ${Object.keys(BENCHES).join(', ')}; may be given several times
  --rounds N     pairs of runs for each case, instead of as many as the case deems enough
  --json FILE    writes the results there, too`;

const { only, rounds, json } = readArguments();
// A path that cannot be written fails now, not after the benchmark.
if (json !== undefined) await writeFile(json, '');
const before = describeMachine();
const progress = new Progress();
const suite = new Suite(progress, rounds);
for (const [name, bench] of Object.entries(BENCHES)) {
  if (only.length > 0 && !only.includes(name)) continue;
  suite.begin(name);
  await bench(suite);
}
progress.end();
const machine = { ...before, loadAfter: loadOfLastMinute() };
const { results, notes } = suite;
console.log(
  Object.entries(machine)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', '),
);
console.log(formatTable(results));
for (const note of notes) console.log(`note: ${note}`);
if (json !== undefined) await writeFile(json, `${JSON.stringify({ machine, results, notes }, null, 2)}\n`);

function readArguments(): { only: readonly string[]; rounds: number | undefined; json: string | undefined } {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string', multiple: true, default: [] },
        rounds: { type: 'string' },
        json: { type: 'string' },
      },
    });
    const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
    if (rounds !== undefined && !(Number.isSafeInteger(rounds) && rounds > 0))
      throw new Error('--rounds takes a number from 1 on');
    const unknown = values.only.find((name) => !Object.hasOwn(BENCHES, name));
    if (unknown !== undefined) throw new Error(`there is no bench ${unknown}`);
    return { only: values.only, rounds, json: values.json };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    return process.exit(2);
  }
}
