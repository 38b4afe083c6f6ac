import { makeRoom } from '../inbox/held-total.js';
import { setMakeRoom } from '../native/room.js';
import { tableSize } from '../socket/table-size.js';

/** One message brings up to 253 descriptors. With room for them, the kernel drops none. */
const MOST_IN_RESERVE = 256;

/** No table is about full before it has so many descriptors. */
const SMALLEST_TABLE = 128;

/** How many numbers are kept free for the next message, where that is possible without a loss for anybody. */
function reserve(): number {
  return Math.min(MOST_IN_RESERVE, Math.floor(tableSize() / 4));
}

/**
 * Descriptors came, and `highest` is the highest number of them. The kernel gives the lowest number that is free, so all below it are in
 * use. If fewer are left than one message may bring, those are closed that nobody needs.
 */
export function keepReserve(highest: number): void {
  if (highest < SMALLEST_TABLE) return;
  const missing = highest + 1 + reserve() - tableSize();
  if (missing > 0) makeRoom(missing);
}

/** The table was full, and descriptors were lost. */
export function restoreReserve(): void {
  makeRoom(reserve());
}

setMakeRoom(() => makeRoom(reserve()));
