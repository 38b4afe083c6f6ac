import { setTimeout as delay } from 'node:timers/promises';
import { type DescriptorTable, descriptorTable } from './fd-table.js';

/** Much is closed in later turns of the event loop. */
const PATIENCE_MS = 5_000;

/** What the descriptors refer to that are not in `before`, once they had the time to go. */
export async function leaksSince(before: DescriptorTable): Promise<string[]> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const added = [...descriptorTable()].filter(([fd, target]) => before.get(fd) !== target);
    if (added.length === 0 || Date.now() > deadline) return added.map(([, target]) => target);
    globalThis.gc?.();
    await delay(5);
  }
}
