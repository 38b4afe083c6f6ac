/** Whether a process whose client was left as it was ends by itself: an idle connection must not keep it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Library } from '../library.js';
import type { RawServerScript } from '../script.js';
import type { Result } from './worker-process.js';

const PROGRAM = fileURLToPath(new URL('../exit-worker.js', import.meta.url));
/** From its start to the end of its script. */
const SCRIPT_MS = 10_000;
/** Longer in each attempt. */
const EXIT_MS = [500, 2_000, 8_000];

const SUBJECT = 'the process, when its client is left as it is';

let runs = 0;

export function isOfExit(result: Result): boolean {
  return result.kind === 'different' && result.differences.some(({ subject }) => subject === SUBJECT);
}

/** A difference where ours stays and stock does not, or the other way round, for as long as one cares to wait. */
export async function compareExits(script: RawServerScript, directory: string): Promise<Result> {
  const seen: [stock: string, ours: string][] = [];
  for (const ms of EXIT_MS) {
    const [stock, ours] = await Promise.all([
      exitOf('stock', script, directory, ms),
      exitOf('ours', script, directory, ms),
    ]);
    if (stock === ours) return { kind: 'same', racy: seen.length > 0 };
    seen.push([stock, ours]);
  }
  const ours = seen.at(-1)?.[1] ?? '';
  return {
    kind: 'different',
    differences: [{ subject: SUBJECT, ours, stock: seen.map(([stock]) => stock) }],
  };
}

async function exitOf(
  library: Library,
  script: RawServerScript,
  directory: string,
  ms: number,
): Promise<string> {
  const child = fork(PROGRAM, [library, join(directory, `exit-${process.pid}-${runs++}`)], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  });
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const late = setTimeout(() => child.kill('SIGKILL'), SCRIPT_MS);
  let left = false;
  child.once('message', () => {
    left = true;
    clearTimeout(late);
    setTimeout(() => child.kill('SIGKILL'), ms).unref();
  });
  child.send(script);
  const [code, signal] = await exit;
  clearTimeout(late);
  if (signal === 'SIGKILL') return left ? 'stays' : 'freezes';
  return code === 0 ? 'exits' : `exits with ${signal ?? code}`;
}
