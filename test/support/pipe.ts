/** Pipes, whose ends tell when the last descriptor of the other end has been closed. */
import assert from 'node:assert/strict';
import { closeSync, readSync } from 'node:fs';
import { native } from '#src/native/binding.js';
import { defer } from './fd-table.js';

/** Reads all there is until the end: no descriptor of the end to write to is open any more, in any process. */
export async function endOf(pipe: number): Promise<string> {
  const buffer = Buffer.alloc(4096);
  let text = '';
  for (;;) {
    try {
      const length = readSync(pipe, buffer);
      if (length === 0) return text;
      text += buffer.toString('utf8', 0, length);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A pipe whose end to write to is for `give`, which must not close it; the other one goes with the test. */
export function pipeTo<T>(give: (into: number) => T): { given: T; end: () => Promise<string> } {
  const [out, into] = native.testing.pipe();
  defer(() => closeSync(out));
  try {
    return { given: give(into), end: () => endOf(out) };
  } finally {
    closeSync(into);
  }
}
