/** The options of `npm run test:restarts`. */
import { parseArgs } from 'node:util';
import { readOrExit, whole } from '../support/command-line.js';

export interface Options {
  readonly restarts: number;
  readonly seed: number;
  readonly minutes: number;
}

const DEFAULTS = { restarts: 1_000, minutes: 30 };

const USAGE = `npm run test:restarts [-- OPTIONS]
  --restarts N   how many restarts, half of them with TLS; default ${DEFAULTS.restarts}
  --seed S       which restarts, in which order; default: of the clock
  --minutes M    no restart begins after so long; default ${DEFAULTS.minutes}`;

export function readOptions(args: readonly string[]): Options {
  return readOrExit(USAGE, () => parse(args));
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: { restarts: { type: 'string' }, seed: { type: 'string' }, minutes: { type: 'string' } },
  });
  return {
    restarts: whole('--restarts', values.restarts) ?? DEFAULTS.restarts,
    seed: whole('--seed', values.seed) ?? Date.now() % 2 ** 31,
    minutes: whole('--minutes', values.minutes) ?? DEFAULTS.minutes,
  };
}
