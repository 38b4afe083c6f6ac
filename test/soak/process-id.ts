import { readFileSync } from 'node:fs';

/**
 * Names a process, and no later one: the kernel gives the number of a process that has ended to another one. Undefined if there is no such
 * process.
 */
export function processId(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name of the program is in parentheses, and may have spaces in it. The time of the start is the 22nd field.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return `${pid}, started at ${fields[19]}`;
  } catch {
    return undefined;
  }
}
