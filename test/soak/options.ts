/** The options of `npm run soak`. */
import { parseArgs } from 'node:util';
import { positive, readOrExit, whole } from '../support/command-line.js';
import { PLANTS, type Plant } from './messages.js';

export interface Options {
  readonly minutes: number;
  readonly seed: number;
  /** Where to write the report. */
  readonly markdown: string | undefined;
  /** Parts of names of cells. Empty for all. */
  readonly only: readonly string[];
  readonly plants: readonly Plant[];
}

const DEFAULT_MINUTES = 2;

const USAGE = `npm run soak [-- OPTIONS]
  --minutes N      how long processes call each other; default ${DEFAULT_MINUTES}
  --seed S         which calls, kills and restarts; default: of the clock
  --markdown FILE  writes the report to a file, too
  --only PART      only groups of processes whose name has this part; may be given again
  --plant FAULT    makes a fault, which the run has to find: ${PLANTS.join(', ')}; may be given again`;

export function readOptions(args: readonly string[]): Options {
  return readOrExit(USAGE, () => parse(args));
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string' },
      seed: { type: 'string' },
      markdown: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      plant: { type: 'string', multiple: true, default: [] },
    },
  });
  const plants = values.plant.map((text) => {
    const plant = PLANTS.find((each) => each === text);
    if (plant === undefined) throw new Error(`--plant takes ${PLANTS.join(', ')}`);
    return plant;
  });
  return {
    minutes: positive('--minutes', values.minutes) ?? DEFAULT_MINUTES,
    seed: whole('--seed', values.seed) ?? Date.now() % 2 ** 31,
    markdown: values.markdown,
    only: values.only,
    plants,
  };
}
