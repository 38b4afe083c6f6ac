// Where the package tests work, and how they start other programs.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const work = join(root, 'build/test-package');
export const fixtures = fileURLToPath(new URL('fixtures', import.meta.url));

const MINUTES = 60_000;

/** A folder that holds Node.js and a shell, and no compiler: the PATH of everything that installs or runs the package. */
function plainPath() {
  const directory = join(work, 'bin');
  mkdirSync(directory, { recursive: true });
  const links = { node: process.execPath, sh: realpathSync('/bin/sh') };
  for (const [name, target] of Object.entries(links)) {
    if (!existsSync(join(directory, name))) symlinkSync(target, join(directory, name));
  }
  return directory;
}

/** What npm and the programs of this repository set would reach into the projects. How a registry is reached stays. */
const REMOVED =
  /^(GRPCFD_|NODE_OPTIONS$|NODE_PATH$|INIT_CWD$|npm_(?!config_(registry|cache|userconfig|.*proxy)$))/i;

export function plainEnvironment() {
  const kept = Object.entries(process.env).filter(([name]) => !REMOVED.test(name));
  return { ...Object.fromEntries(kept), PATH: plainPath(), NO_COLOR: '1' };
}

/** Runs a program, and gives what it printed. It rejects with all of that if the program fails. */
export async function run(command, args, { cwd, env = {}, path = 'plain' } = {}) {
  const outcome = await runAnyway(command, args, { cwd, env, path });
  if (outcome.code === 0) return outcome;
  const shown = [command.split('/').at(-1), ...args].join(' ');
  throw new Error(
    `${shown} ended with ${outcome.code ?? outcome.signal}\n${outcome.stdout}${outcome.stderr}`,
  );
}

/** Runs a program that may fail. */
export function runAnyway(command, args, { cwd, env = {}, path = 'plain' } = {}) {
  const base = path === 'plain' ? plainEnvironment() : { ...plainEnvironment(), PATH: process.env.PATH };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...base, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 10 * MINUTES,
    });
    const parts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (text) => {
        parts[name] += text;
      });
    }
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, ...parts }));
  });
}

/** The main file of npm. `npm run` names it. */
export function npmFile() {
  const named = process.env.npm_execpath;
  if (named !== undefined && /npm-cli\.js$/.test(named)) return named;
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const npm = join(directory, 'npm');
    if (existsSync(npm)) return realpathSync(npm);
  }
  throw new Error(`npm is not on the PATH of ${dirname(process.execPath)}`);
}

const results = new Map();

/** Does a thing once in a run, for all who need it. */
export function once(key, work) {
  const result = results.get(key) ?? work();
  results.set(key, result);
  return result;
}
