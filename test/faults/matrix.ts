/** Runs scenarios in processes of their own, each with one system call that fails, and gathers what came of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Plan, Report } from './plan.js';

export const ERRORS = ['EINTR', 'EAGAIN', 'ENOBUFS', 'ENOMEM', 'EMFILE', 'EIO'] as const;

/** A run that takes longer hangs. Twice as long as the deadline of a call, and the time for a leak. */
const HANG_MS = 40_000;

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

async function runChild(plan: Plan, library: string): Promise<Ended> {
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
    reports.push(JSON.parse(line) as Report);
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  if (isHung) return { reports, death: 'HANGS: the process was killed' };
  const death = code === 0 ? undefined : `DIES: ${signal ?? code} ${(await stderr).slice(-400)}`;
  return { reports, death };
}

/** How often the addon makes each system call in one run of the scenario; with `isFirst`, in a process that has not used it yet. */
export async function countCalls(scenario: string, isFirst: boolean, library: string): Promise<Map<string, number>> {
  const plan: Plan = { scenario, errors: [], first: 0, last: 0, step: 1, isFirst };
  const { reports, death } = await runChild(plan, library);
  const counted = reports.find(({ kind }) => kind === 'counted' || kind === 'ran');
  if (counted === undefined || counted.kind === 'begins' || death !== undefined) {
    throw new Error(`"${scenario}" fails without a fault: ${death ?? ''}`);
  }
  return new Map(counted.counts);
}

export interface Sample {
  readonly errors: readonly string[];
  readonly first: number;
  readonly step: number;
}

/** Each call of `syscall` in the scenario fails in its turn, with each of the errors. A process that dies is followed by another one. */
export async function failEach(
  scenario: string,
  syscall: string,
  sample: Sample,
  library: string,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  let plan: Plan = { ...sample, scenario, syscall, last: Number.MAX_SAFE_INTEGER, isFirst: false };
  for (;;) {
    const { reports, death } = await runChild(plan, library);
    for (const report of reports) if (report.kind === 'ran') rows.push(rowOf(scenario, syscall, report));
    const last = reports.at(-1);
    const hasStopped = death !== undefined || (last?.kind === 'ran' && last.left !== '');
    if (!hasStopped) return rows;
    if (last === undefined || last.kind === 'counted') {
      rows.push({ scenario, syscall, error: '', call: 0, outcome: death ?? 'DIES: ', hit: undefined });
      return rows;
    }
    const { error, call } = last;
    if (death !== undefined) rows.push({ scenario, syscall, error, call, outcome: death, hit: undefined });
    const errors = plan.errors.slice(plan.errors.indexOf(error));
    plan = { ...plan, errors, first: call + sample.step };
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
  const plan: Plan = { scenario, syscall, errors: [error], first: call, last: call, step: 1, isFirst: true };
  const { reports, death } = await runChild(plan, library);
  const [report] = reports;
  if (death !== undefined) return { scenario, syscall, error, call, outcome: death, hit: undefined };
  if (report?.kind !== 'ran' || report.hit === undefined) return undefined;
  return rowOf(scenario, syscall, report);
}

function rowOf(scenario: string, syscall: string, report: Report & { readonly kind: 'ran' }): Row {
  const { error, call, hit, left } = report;
  const warned = report.warnings.length === 0 ? '' : `, warning ${report.warnings.join(', ')}`;
  const outcome = left === '' ? `${report.outcome}${warned}` : `LEAKS: ${left}`;
  return { scenario, syscall, error, call, outcome, hit };
}
