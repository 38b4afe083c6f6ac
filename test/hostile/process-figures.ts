/** What the kernel tells about another process, also while its event loop is blocked. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const PAGE_BYTES = 4_096;

export function residentBytes(pid: number): number {
  const [, pages] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
  return Number(pages) * PAGE_BYTES;
}

export function openFds(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** What each descriptor refers to. */
export function fdTargets(pid: number): ReadonlyMap<string, string> {
  const targets = new Map<string, string>();
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      targets.set(name, readlinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      // It was closed meanwhile.
    }
  }
  return targets;
}
