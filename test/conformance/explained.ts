/** Differences from stock that are meant, each with its reason. They are counted, and fail nothing. */
import type { Difference } from './compare.js';
import type { Script } from './script.js';

export interface Explanation {
  readonly reason: string;
  readonly covers: (difference: Difference, script: Script) => boolean;
}

export const EXPLAINED: readonly Explanation[] = [];

export function isExplained(differences: readonly Difference[], script: Script): boolean {
  return differences.every((difference) => EXPLAINED.some(({ covers }) => covers(difference, script)));
}
