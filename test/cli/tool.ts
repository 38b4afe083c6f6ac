/** Runs the tool as its users do, in a pipe and in a terminal. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export const MAIN: string = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

/** The tool is killed after it. */
const LIMIT_MS = 60_000;

export interface ToolOptions {
  readonly stdin?: string;
  /** Descriptors that the tool inherits as 3 and so on. They stay the caller's. */
  readonly inherited?: readonly number[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** The soft RLIMIT_NOFILE of the tool. */
  readonly maxOpenFiles?: number | undefined;
}

export interface ToolResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { ...process.env, NODE_TEST_CONTEXT: undefined, NO_COLOR: undefined, ...more };
}

export function startTool(
  args: readonly string[],
  { inherited = [], env, cwd, maxOpenFiles }: ToolOptions = {},
) {
  const limit = maxOpenFiles === undefined ? '' : `ulimit -n ${maxOpenFiles}; `;
  return spawn('sh', ['-c', `${limit}exec "$0" "$@"`, process.execPath, MAIN, ...args], {
    stdio: ['pipe', 'pipe', 'pipe', ...inherited],
    env: environment(env),
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
    ...(cwd !== undefined && { cwd }),
  });
}

export async function tool(args: readonly string[], options: ToolOptions = {}): Promise<ToolResult> {
  const child = startTool(args, options);
  // A tool that has ended reads nothing.
  child.stdin?.on('error', () => {}).end(options.stdin ?? '');
  const [[code], stdout, stderr] = await Promise.all([
    once(child, 'close') as Promise<[number | null]>,
    child.stdout === null ? '' : text(child.stdout),
    child.stderr === null ? '' : text(child.stderr),
  ]);
  return { code, stdout, stderr };
}

/** For the `skip` of a test, the reason why there is no terminal, or false. */
export const withoutTerminal: string | false =
  spawnSync('python3', ['-c', 'import pty']).status === 0 ? false : 'this needs the module pty of python3';

const SPAWN = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';

/** Runs the tool in a pseudoterminal. `stdout` has what it printed there, of both outputs. */
export async function toolInTerminal(
  args: readonly string[],
  { env, inherited = [] }: Pick<ToolOptions, 'env' | 'inherited'> = {},
): Promise<Omit<ToolResult, 'stderr'>> {
  const child = spawn('python3', ['-c', SPAWN, process.execPath, MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'inherit', ...inherited],
    env: environment({ TERM: 'xterm', ...env }),
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const [[code], stdout] = await Promise.all([
    once(child, 'close') as Promise<[number | null]>,
    child.stdout === null ? '' : text(child.stdout),
  ]);
  return { code, stdout: stdout.replaceAll('\r\n', '\n') };
}
