/** Runs scenarios in processes of their own, each with one system call that fails, and gathers what came of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Plan, Report } from './plan.js';

export const ERRORS = ['EINTR', 'EAGAIN', 'ENOBUFS', 'ENOMEM', 'EMFILE', 'EIO'] as const;

/** A process that prints nothing for so long hangs. Each call has a deadline that is much shorter. */
const HANG_MS = 90_000;

const CHILD = fileURLToPath(new URL('fixtures/child.js', import.meta.url));

export interface Row {
  readonly scenario: string;
  readonly syscall: string;
  readonly error: string;
  readonly call: number;
  readonly outcome: string;
  /** An offset in the addon. */
  readonly hit: string | undefined;
}

interface Ended {
  readonly reports: readonly Report[];
  /** How the process ended, if not by itself. */
  readonly death: string | undefined;
}

/** `onReport` is told of each line as it comes. */
async function runChild(
  plan: Plan,
  library: string,
  onReport: (report: Report) => void = () => {},
): Promise<Ended> {
  const env = { ...process.env, LD_PRELOAD: library, NODE_TEST_CONTEXT: undefined };
  const child = spawn(process.execPath, ['--expose-gc', CHILD, JSON.stringify(plan)], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const reports: Report[] = [];
  let isHung = false;
  const hang = () => {
    isHung = true;
    child.kill('SIGKILL');
  };
  let timer = setTimeout(hang, HANG_MS);
  const stderr = text(child.stderr);
  createInterface(child.stdout).on('line', (line) => {
    clearTimeout(timer);
    timer = setTimeout(hang, HANG_MS);
    const report = JSON.parse(line) as Report;
    reports.push(report);
    onReport(report);
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  if (isHung) return { reports, death: 'HANGS: the process was killed' };
  const death = code === 0 ? undefined : `DIES: ${signal ?? code} ${(await stderr).slice(-400)}`;
  return { reports, death };
}

/** How often the addon makes each system call in one run of the scenario; with `isFirst`, in a process that has not used it yet. */
export async function countCalls(
  scenario: string,
  isFirst: boolean,
  library: string,
): Promise<Map<string, number>> {
  const plan: Plan = { scenario, syscalls: [], errors: [], from: undefined, first: 1, step: 1, isFirst };
  const { reports, death } = await runChild(plan, library);
  const counted = reports.find(({ kind }) => kind === 'counted' || kind === 'ran');
  if (counted === undefined || counted.kind === 'begins' || death !== undefined) {
    throw new Error(`"${scenario}" fails without a fault: ${death ?? ''}`);
  }
  return new Map(counted.counts);
}

/** Which calls fail, of all that there are: the first, and each `step`-th behind it. */
export interface Sample {
  readonly errors: readonly string[];
  readonly first: number;
  readonly step: number;
}

/** Each call of the system calls in the scenario fails in its turn, with each of the errors. A process that dies is followed by another one. */
export async function failEach(
  scenario: string,
  syscalls: readonly string[],
  sample: Sample,
  library: string,
  onRow: (row: Row) => void = () => {},
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  const add = (row: Row) => {
    rows.push(row);
    onRow(row);
  };
  let plan: Plan = { ...sample, scenario, syscalls, from: undefined, isFirst: false };
  for (;;) {
    const { reports, death } = await runChild(plan, library, (report) => {
      if (report.kind === 'ran') add(rowOf(scenario, report));
    });
    const last = reports.at(-1);
    const hasStopped = death !== undefined || (last?.kind === 'ran' && last.left !== '');
    if (!hasStopped) return rows;
    if (last === undefined || last.kind === 'counted') {
      const nowhere = { syscall: '', error: '', call: 0 };
      add({ scenario, ...nowhere, outcome: death ?? '', hit: undefined });
      return rows;
    }
    const { syscall, error, call } = last;
    if (death !== undefined) add({ scenario, syscall, error, call, outcome: death, hit: undefined });
    plan = { ...plan, from: { syscall, error, call: call + sample.step } };
  }
}

/** The same for the first use of the addon, with one process for each call. */
export async function failFirst(
  scenario: string,
  syscall: string,
  error: string,
  call: number,
  library: string,
): Promise<Row | undefined> {
  const one = { syscalls: [syscall], errors: [error], first: call, step: 1 };
  const { reports, death } = await runChild({ ...one, scenario, from: undefined, isFirst: true }, library);
  const [report] = reports;
  if (death !== undefined) return { scenario, syscall, error, call, outcome: death, hit: undefined };
  if (report?.kind !== 'ran' || report.hit === undefined) return undefined;
  return rowOf(scenario, report);
}

function rowOf(scenario: string, report: Report & { readonly kind: 'ran' }): Row {
  const { syscall, error, call, hit, left } = report;
  const warned = report.warnings.length === 0 ? '' : `, warning ${report.warnings.join(', ')}`;
  const outcome = left === '' ? `${report.outcome}${warned}` : `LEAKS: ${left}`;
  return { scenario, syscall, error, call, outcome, hit };
}
