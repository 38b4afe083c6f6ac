/** Descriptors that threads close: each takes up room in the table of this process until it is closed. */
import { native } from '../native/binding.js';
import { tableSize } from './table-size.js';

/** Of the table. The rest is for what is open. */
const SHARE_OF_TABLE = 1 / 16;

/** Of the table, as long as anything else shall go on. */
const MOST_OF_TABLE = 1 / 4;

/** Of a small table, too. It is less than one full message, and more than any honest client has waiting. */
const SMALLEST_SHARE = 64;

/** How many may wait before what brings more has to wait. */
export function shareOfCloses(): number {
  return Math.max(SMALLEST_SHARE, Math.floor(tableSize() * SHARE_OF_TABLE));
}

/** Whether more wait, of all connections and of those that were refused. */
export function manyWaitToBeClosed(): boolean {
  return native.queuedCloses() > shareOfCloses();
}

/**
 * Whether a quarter of the table waits, or so many of a small one that it is about full. Where that stays so, closes hang. Nothing that
 * brings more is taken any more, whoever it comes from: what is open and the process itself need the rest.
 */
export function tooManyWaitToBeClosed(): boolean {
  return native.queuedCloses() > Math.max(SMALLEST_SHARE, Math.floor(tableSize() * MOST_OF_TABLE));
}
