import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export interface ChildResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a module of the tests, named relative to the caller's `import.meta.url`, in a process of its own. */
export function startFixture(
  name: string,
  caller: string,
  args: readonly string[] = [],
  more: NodeJS.ProcessEnv = {},
  limitMs?: number,
  stdin: 'ignore' | 'pipe' = 'ignore',
): ChildProcess {
  const path = fileURLToPath(new URL(name, caller));
  const env = { ...process.env, ...more, NODE_TEST_CONTEXT: undefined };
  return spawn(process.execPath, ['--expose-gc', path, ...args], {
    env,
    stdio: [stdin, 'pipe', 'pipe'],
    timeout: limitMs,
    killSignal: 'SIGKILL',
  });
}

/** After `limitMs` it is killed: a process that has frozen does not end itself. */
export async function runFixture(
  name: string,
  caller: string,
  args?: readonly string[],
  env?: NodeJS.ProcessEnv,
  limitMs?: number,
): Promise<ChildResult> {
  const child = startFixture(name, caller, args, env, limitMs);
  const [[code, signal], stdout, stderr] = await Promise.all([
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    child.stdout ? text(child.stdout) : '',
    child.stderr ? text(child.stderr) : '',
  ]);
  return { code, signal, stdout, stderr };
}
