import { constants } from 'node:fs';
import { anInteger, type Rule, rule } from '../checks.js';

const FLAGS: Readonly<Record<string, number>> = {
  r: constants.O_RDONLY,
  'r+': constants.O_RDWR,
  w: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  'w+': constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
  a: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
  'a+': constants.O_RDWR | constants.O_CREAT | constants.O_APPEND,
};

const aFlag = anInteger(0, 2 ** 31 - 1);

export const openFlags: Rule = rule(
  `a number of fs.constants or one of ${Object.keys(FLAGS).join(', ')}`,
  (value) => typeof value === 'number' || typeof value === 'string',
  (value) => aFlag.isInRange(value) || Object.hasOwn(FLAGS, String(value)),
);

/** Permissions, with set-user-ID, set-group-ID and the sticky bit. */
export const aMode: Rule = anInteger(0, 0o7777);

/** The number for flags that follow the rule. */
export function toOpenFlags(flags: number | string): number {
  return typeof flags === 'string' ? (FLAGS[flags] ?? constants.O_RDONLY) : flags;
}
