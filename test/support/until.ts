import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** Resolves when the condition holds, and fails the test if it does not within that time. */
export async function within(limitMs: number, what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) assert.fail(`${what}: not within ${limitMs} ms`);
    await delay(2);
  }
}

/** Fails the test if the promise does not settle within that time. */
export async function settledWithin<T>(limitMs: number, what: string, promise: Promise<T>): Promise<T> {
  let settled = false;
  const done = () => {
    settled = true;
  };
  promise.then(done, done);
  await within(limitMs, what, () => settled);
  return promise;
}
