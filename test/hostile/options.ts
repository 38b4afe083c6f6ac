/** The options of `npm run test:hostile`. */
import { parseArgs } from 'node:util';
import { positive, readOrExit, whole } from '../support/command-line.js';
import { STORMS, type Storm } from './storms.js';

export interface Options {
  readonly storms: readonly Storm[];
  readonly seconds: number;
  readonly seed: number;
  readonly markdown: string | undefined;
}

const DEFAULT_SECONDS = 10;

const USAGE = `npm run test:hostile [-- OPTIONS]
  --seconds N      how long each storm is; default ${DEFAULT_SECONDS}
  --storm NAME     only the storms whose names contain it; may be given again
  --seed S         for what is random; default: of the clock
  --markdown FILE  writes the figures to this page, too

The storms:
${STORMS.map(({ name }) => `  ${name}`).join('\n')}`;

export function readOptions(args: readonly string[]): Options {
  return readOrExit(USAGE, () => parse(args));
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string' },
      storm: { type: 'string', multiple: true },
      seed: { type: 'string' },
      markdown: { type: 'string' },
    },
  });
  const { storm: wanted = [''] } = values;
  const storms = STORMS.filter(({ name }) => wanted.some((part) => name.includes(part)));
  if (storms.length === 0) throw new Error(`there is no storm whose name contains ${wanted.join(' or ')}`);
  return {
    storms,
    seconds: positive('--seconds', values.seconds) ?? DEFAULT_SECONDS,
    seed: whole('--seed', values.seed) ?? Date.now() % 2 ** 31,
    markdown: values.markdown,
  };
}
