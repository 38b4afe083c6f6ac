/** A process of a soak as its parent sees it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Report } from './messages.js';
import { processId } from './process-id.js';

/** One that is ending may have ended. */
export type Fate = 'runs' | 'ending' | 'killed' | 'finished';

export class Party {
  /** Processes that take each other's place have the same one. */
  readonly name: string;
  readonly pid: number;
  readonly id: string;
  readonly language: 'Node' | 'Go';
  fate: Fate = 'runs';
  /** The last one, of a Node process. */
  report: Report | undefined;
  peakFds = 0;
  peakKiB = 0;
  /** Descriptors that were open at the end, and not at the start. */
  left = 0;

  constructor(name: string, language: 'Node' | 'Go', pid: number) {
    this.name = name;
    this.language = language;
    this.pid = pid;
    this.id = processId(pid) ?? `${pid}, which ended at once`;
  }

  /** Looks at the process, which may have ended. */
  sample(): void {
    if (this.fate === 'killed' || this.fate === 'finished') return;
    this.peakFds = Math.max(this.peakFds, fdsOf(this.pid).length);
    this.peakKiB = Math.max(this.peakKiB, peakKiBOf(this.pid));
  }
}

/** What the open descriptors of a process refer to. None, if it has ended. */
export function fdsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((name) => targetOf(`/proc/${pid}/fd/${name}`));
  } catch {
    return [];
  }
}

function targetOf(link: string): string[] {
  try {
    return [readlinkSync(link)];
  } catch {
    return [];
  }
}

function peakKiBOf(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
