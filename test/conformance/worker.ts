// A process that runs scripts for its parent, which kills it when it does not report for too long.
import { join } from 'node:path';
import { compare, type Verdict } from './compare.js';
import { runScript } from './families/families.js';
import type { Library } from './library.js';
import { surviveUncaughtErrors } from './planned-error.js';
import { Run } from './run.js';
import type { Script } from './script.js';

export interface Task {
  readonly id: number;
  readonly script: Script;
}

export type Report =
  /** A run begins: where the process freezes, this is the last word. */
  | { readonly kind: 'run'; readonly id: number; readonly library: Library; readonly attempt: number }
  | { readonly kind: 'verdict'; readonly id: number; readonly verdict: Verdict };

const directory = process.argv[2] ?? '.';
let current: Run | undefined;
let runs = 0;

surviveUncaughtErrors(() => current);

function report(message: Report): void {
  process.send?.(message);
}

process.on('message', async ({ id, script }: Task) => {
  const verdict = await compare(async (library, attempt) => {
    report({ kind: 'run', id, library, attempt });
    current = new Run(library, script.security, join(directory, `${process.pid}-${runs++}`), attempt);
    await runScript(current, script);
    return current.finish();
  });
  report({ kind: 'verdict', id, verdict });
});
