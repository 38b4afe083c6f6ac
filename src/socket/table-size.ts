import { readFileSync } from 'node:fs';

let known: number | undefined;

/** The size of the descriptor table of this process, as it was when somebody first asked. */
export function tableSize(): number {
  known ??= descriptorLimit();
  return known;
}

/** The soft RLIMIT_NOFILE, which bounds the descriptor table too, as it is now. */
export function descriptorLimit(): number {
  return Number(/^Max open files +(\d+)/m.exec(procSelf('limits'))?.[1] ?? Number.POSITIVE_INFINITY);
}

/** A file of /proc/self, or nothing. */
export function procSelf(name: string): string {
  try {
    return readFileSync(`/proc/self/${name}`, 'latin1');
  } catch {
    return '';
  }
}
