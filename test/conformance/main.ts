/** `npm run test:conformance`: see CONTRIBUTING.md. */
import { TRANSPORTS } from './library.js';
import { conformance } from './parent/conformance.js';
import { readOptions } from './parent/options.js';
import { Progress } from './parent/progress.js';
import { FAMILIES, type Script } from './script.js';
import { printStorm } from './storm/run-storm.js';

const { scripts, seed, minutes, only, storm, workers, failures } = readOptions(process.argv.slice(2));

const DEFAULT_STORM_MINUTES = 1;

const well =
  storm === undefined
    ? await compareScripts()
    : await printStorm(storm, minutes ?? DEFAULT_STORM_MINUTES, (security) => allows(TRANSPORTS, security));
process.exitCode = well ? 0 : 1;

async function compareScripts(): Promise<boolean> {
  console.log(`seed ${seed}`);
  const progress = new Progress(scripts);
  const tally = await conformance({
    seeds: upFrom(seed),
    scripts,
    deadline: minutes === undefined ? Number.POSITIVE_INFINITY : Date.now() + minutes * 60_000,
    workers,
    failures,
    wanted,
    onProgress: (soFar) => progress.show(soFar),
    onFinding: (text) => progress.print(`\n${text}\n`),
  });
  progress.end();
  console.table(tally.table);
  return tally.total('differences') === 0;
}

function* upFrom(first: number): Generator<number> {
  for (let next = first; ; next++) yield next;
}

/** Of several parts that `--only` names, those of one sort are alternatives. */
function wanted({ family, security }: Script): boolean {
  return allows(TRANSPORTS, security) && allows(FAMILIES, family);
}

function allows(sort: readonly string[], part: string): boolean {
  const named = only.filter((name) => sort.some((other) => other.toLowerCase() === name));
  return named.length === 0 || named.includes(part.toLowerCase());
}
