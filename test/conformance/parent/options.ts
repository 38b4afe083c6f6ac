/** The options of `npm run test:conformance`. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { positive, readOrExit, whole } from '../../support/command-line.js';
import { TRANSPORTS } from '../library.js';
import { FAMILIES } from '../script.js';

export const STORMS = ['shutdown', 'cancel'] as const;
export type Storm = (typeof STORMS)[number];

export interface Options {
  readonly scripts: number;
  readonly seed: number;
  readonly minutes: number | undefined;
  readonly only: readonly string[];
  readonly storm: Storm | undefined;
  readonly workers: number;
  readonly failures: number;
}

const DEFAULT_SCRIPTS = 20_000;
const DEFAULT_FAILURES = 10;
const PARTS: readonly string[] = [...TRANSPORTS, ...FAMILIES].map((part) => part.toLowerCase());

const USAGE = `npm run test:conformance [-- OPTIONS]
  --scripts N    how many random scripts; default ${DEFAULT_SCRIPTS}
  --seed S       the seed of the first one, those after it count up; default: of the clock
  --minutes M    ends after so long
  --only PART    ${PARTS.map((part) => `'${part}'`).join(', ')}; may be given several times
  --workers N    processes that run scripts; default: one for each processor, four at most
  --failures N   ends after so many differences; default ${DEFAULT_FAILURES}
  --storm NAME   ${STORMS.join(' or ')}, instead of scripts, for so many minutes (default 1)`;

export function readOptions(args: readonly string[]): Options {
  return readOrExit(USAGE, () => parse(args));
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      scripts: { type: 'string' },
      seed: { type: 'string' },
      minutes: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      storm: { type: 'string' },
      workers: { type: 'string' },
      failures: { type: 'string' },
    },
  });
  const storm = STORMS.find((name) => name === values.storm);
  if (values.storm !== undefined && storm === undefined) throw new Error(`there is no storm ${values.storm}`);
  const only = values.only.map((part) => part.toLowerCase());
  const unknown = only.find((part) => !PARTS.includes(part));
  if (unknown !== undefined) throw new Error(`there is nothing called ${unknown}`);
  return {
    scripts: whole('--scripts', values.scripts) ?? DEFAULT_SCRIPTS,
    seed: whole('--seed', values.seed) ?? Date.now() % 2 ** 31,
    minutes: positive('--minutes', values.minutes),
    only,
    storm,
    workers: whole('--workers', values.workers) ?? Math.min(availableParallelism(), 4),
    failures: whole('--failures', values.failures) ?? DEFAULT_FAILURES,
  };
}
