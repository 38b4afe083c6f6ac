/** Repeatable random numbers: GRPCFD_SEED repeats a run that failed. */

/** Picks a whole number from 0 to `below`, exclusive. */
export type Random = (below: number) => number;

/** mulberry32 */
export function randomFrom(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** The seed, which the test prints. */
export function seedOfThisRun(): number {
  const { GRPCFD_SEED } = process.env;
  return Number(GRPCFD_SEED ?? Date.now() % 2 ** 31);
}
