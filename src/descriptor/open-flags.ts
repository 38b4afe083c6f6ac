import { constants } from 'node:fs';
import { type Rule, rule } from '../checks.js';

const FLAGS: Readonly<Record<string, number>> = {
  r: constants.O_RDONLY,
  'r+': constants.O_RDWR,
  w: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  'w+': constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
  a: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
  'a+': constants.O_RDWR | constants.O_CREAT | constants.O_APPEND,
};

export const openFlags: Rule = rule(
  `a number of fs.constants or one of ${Object.keys(FLAGS).join(', ')}`,
  (value) => typeof value === 'number' || typeof value === 'string',
  (value) => Number.isInteger(value) || Object.hasOwn(FLAGS, String(value)),
);

/** The number for flags that follow the rule. */
export function toOpenFlags(flags: number | string): number {
  return typeof flags === 'string' ? (FLAGS[flags] ?? constants.O_RDONLY) : flags;
}
