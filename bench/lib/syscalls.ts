/** Counts the syscalls of processes with strace, where that is installed and allowed. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How many system calls of that name the work made; undefined when strace cannot be used. */
export async function countSyscalls(
  pids: readonly number[],
  name: string,
  work: () => Promise<unknown>,
): Promise<number | undefined> {
  const args = ['-f', '-c', '-e', `trace=${name}`, ...pids.flatMap((pid) => ['-p', String(pid)])];
  const child = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise<false>((resolve) => {
    child.once('error', () => resolve(false));
    child.once('close', () => resolve(false));
  });
  let attached = 0;
  let count = 0;
  const ready = new Promise<true>((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      // Later lines like this are about new threads.
      if (line.includes(' attached') && ++attached === pids.length) resolve(true);
      count += callsIn(line, name);
    });
  });
  if (!(await Promise.race([ready, ended]))) return undefined;
  await work();
  child.kill('SIGINT');
  await ended;
  return count;
}

/** The number of calls in a line of the summary: `% time, seconds, usecs/call, calls, errors?, syscall`. */
function callsIn(line: string, name: string): number {
  const match = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$/.exec(line);
  return match?.[2] === name ? Number(match[1]) : 0;
}
