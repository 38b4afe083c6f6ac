import { readFileSync } from 'node:fs';

/** How many mappings of the memfd of that name this process has in all its threads. */
export function mappingsOf(name: string): number {
  const lines = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return lines.filter((line) => line.endsWith(`/memfd:${name} (deleted)`)).length;
}

/** Collects garbage until the condition holds; the timeout of the test ends it. */
export async function collectUntil(condition: () => boolean): Promise<void> {
  while (!condition()) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
