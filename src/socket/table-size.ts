import { descriptorLimit } from './unread-descriptors.js';

let known: number | undefined;

/** The size of the descriptor table of this process, as it was when somebody first asked. */
export function tableSize(): number {
  known ??= descriptorLimit();
  return known;
}
