/** Reads the usage of a process from /proc, so that Node, Go and C are measured alike. */
import { readdirSync, readFileSync } from 'node:fs';

/** A client process and a server process. */
export interface Processes {
  readonly client: number;
  readonly server: number;
}

/** The usage of a process since it started. Threads that have ended are not counted. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly contextSwitches: number;
}

export function usageOf(pid: number): Usage {
  let cpuSeconds = 0;
  let contextSwitches = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const directory = `/proc/${pid}/task/${thread}`;
    try {
      // schedstat counts nanoseconds; /proc/PID/stat only counts hundredths of a second.
      cpuSeconds += Number.parseInt(readFileSync(`${directory}/schedstat`, 'utf8'), 10) / 1e9;
      const status = readFileSync(`${directory}/status`, 'utf8');
      for (const match of status.matchAll(/voluntary_ctxt_switches:\s*(\d+)/g))
        contextSwitches += Number(match[1]);
    } catch {
      // The thread ended in between.
    }
  }
  return { cpuSeconds, contextSwitches };
}

export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

export function residentBytes(pid: number): number {
  const match = /VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? Number.NaN) * 1024;
}

/** RLIMIT_NOFILE; Node.js raises its own soft limit to the hard one when it starts. */
export function descriptorLimit(): number {
  const match = /Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'));
  return Number(match?.[1] ?? 1024);
}

export function availableBytes(): number {
  const match = /MemAvailable:\s*(\d+) kB/.exec(readFileSync('/proc/meminfo', 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}
