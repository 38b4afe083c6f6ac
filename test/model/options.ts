/** The options of `npm run test:model`. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { positive, readOrExit, whole } from '../support/command-line.js';
import { SECURITIES, type Security } from '../support/service.js';
import type { Repeat } from './run.js';

export interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly workers: number;
  readonly securities: readonly Security[];
  readonly repeat: Repeat | undefined;
}

const DEFAULT_MINUTES = 1;

const USAGE = `npm run test:model [-- OPTIONS]
  --minutes M       how long; default ${DEFAULT_MINUTES}
  --seed S          of the first histories, those after them count up; default: of the clock
  --workers N       processes that run histories; every second one has its servers in yet another process.
                    Default: 2, or 1 where there is one processor
  --security NAME   ${SECURITIES.map((name) => `'${name}'`).join(', ')}; default: all in turn
  --path, --replay  of a history that was found before, with its seed and its security`;

export function readOptions(args: readonly string[]): Options {
  return readOrExit(USAGE, () => parse(args));
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string' },
      seed: { type: 'string' },
      workers: { type: 'string' },
      security: { type: 'string' },
      path: { type: 'string' },
      replay: { type: 'string' },
    },
  });
  const { security, path, replay = '' } = values;
  const known = SECURITIES.find((name) => name === security);
  if (security !== undefined && known === undefined) throw new Error(`there is no security '${security}'`);
  return {
    minutes: positive('--minutes', values.minutes) ?? DEFAULT_MINUTES,
    seed: whole('--seed', values.seed) ?? Date.now() % 2 ** 31,
    workers: whole('--workers', values.workers) ?? Math.min(availableParallelism(), 2),
    securities: known === undefined ? SECURITIES : [known],
    repeat: path === undefined ? undefined : { path, replay },
  };
}
