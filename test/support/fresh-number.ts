import { closeAll, native } from '#src/native/binding.js';

let highest = 0;

/** Gives a descriptor a number that no other had, since this process adopts each number once. Closes `fd`. */
export function withFreshNumber(fd: number): number {
  const made = [fd];
  while ((made.at(-1) ?? 0) <= highest) made.push(native.duplicate(fd));
  highest = made.pop() ?? 0;
  closeAll(made);
  return highest;
}
