/** Helpers that fill the descriptor table of a separate process. */
import { native } from '#src/native/binding.js';
import { openDescriptors } from './fd-table.js';

const USUAL_LIMIT = 1024;

/** Leaves that many numbers for new descriptors. */
export function leaveFree(count: number): void {
  const used = new Set(openDescriptors().keys());
  let limit = 0;
  for (let left = count; left > 0 || used.has(limit); limit++) if (!used.has(limit)) left--;
  native.testing.setDescriptorLimit(limit);
}

export function liftLimit(): void {
  native.testing.setDescriptorLimit(USUAL_LIMIT);
}
