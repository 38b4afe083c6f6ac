import { native } from '#src/native/binding.js';
import { within } from './until.js';

/** Waits until the threads of the addon have closed all that they have to. */
export async function allClosed(): Promise<void> {
  await within(10_000, 'all is closed', () => native.pendingCloses() === 0);
}
