import { closeSync, openSync } from 'node:fs';
import { closeAll, native } from '#src/native/binding.js';

/** So many numbers are free below it. Without them, what the owner of the number opens next would have it again. */
const FREE_BELOW = 16;
let highest = 0;

/** Gives a descriptor a number that no other had, since this process adopts each number once. Closes `fd`. */
export function withFreshNumber(fd: number): number {
  // These are free at once when they are closed. A socket is closed in a thread, which may be late.
  const below: number[] = [];
  while (below.length < FREE_BELOW || (below.at(-1) ?? 0) < highest) below.push(openSync('/dev/null', 'r'));
  const made = [fd];
  do made.push(native.duplicate(fd));
  while ((made.at(-1) ?? 0) <= highest);
  highest = made.pop() ?? 0;
  closeAll(made);
  for (const each of below) closeSync(each);
  return highest;
}
