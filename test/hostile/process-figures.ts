/** What the kernel tells about another process, also while its event loop is blocked. */
import { readdirSync, readFileSync } from 'node:fs';

const PAGE_BYTES = 4_096;

export function residentBytes(pid: number): number {
  const [, pages] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
  return Number(pages) * PAGE_BYTES;
}

export function openFds(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
