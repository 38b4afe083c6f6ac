/** What the process of a fault is told, and what it answers. */
import { setTimeout as delay } from 'node:timers/promises';
import { GrpcFdError } from 'grpcfd';
import { type DescriptorTable, descriptorTable } from '../support/fd-table.js';
import { WrongResult } from './wrong-result.js';

export interface Plan {
  readonly scenario: string;
  /** Without any, none fails, and the calls are counted. */
  readonly syscalls: readonly string[];
  readonly errors: readonly string[];
  /** Where to begin: a system call, an error, and the number of a call. */
  readonly from: { readonly syscall: string; readonly error: string; readonly call: number } | undefined;
  /** The first of the calls that fail, and the distance between two of them. */
  readonly first: number;
  readonly step: number;
  /** The call fails in the first use of the addon by its process. */
  readonly isFirst: boolean;
}

export type Report =
  | { readonly kind: 'counted'; readonly counts: readonly (readonly [string, number])[] }
  | { readonly kind: 'begins'; readonly syscall: string; readonly call: number; readonly error: string }
  | {
      readonly kind: 'ran';
      readonly syscall: string;
      readonly call: number;
      readonly error: string;
      readonly outcome: string;
      readonly hit: string | undefined;
      /** Descriptors that are open, and were not before. */
      readonly left: string;
      readonly warnings: readonly string[];
      readonly counts: readonly (readonly [string, number])[];
    };

export const WORKS = 'works';

/** An outcome that is not documented begins with a word in capital letters and a colon. */
export const BAD = /^[A-Z ]+: /;

const STATUS_NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

/** Those that tell that something hangs, or nothing at all. */
const NO_OUTCOME = new Set(['DEADLINE_EXCEEDED', 'UNKNOWN', 'OK']);

/** One line for the table of outcomes. */
export function outcomeOf(problem: unknown, unexpected: readonly unknown[]): string {
  if (unexpected.length > 0) return `UNCAUGHT: ${describe(unexpected[0])}`;
  if (problem === undefined) return WORKS;
  if (problem instanceof WrongResult) return `WRONG: ${problem.message}`;
  if (problem instanceof GrpcFdError) {
    const reason = problem.reason.replace('ERR_GRPCFD_', '');
    // The scenarios give only signals and times that end what hangs.
    return ['TIMEOUT', 'HOLD_EXPIRED', 'ABORTED'].includes(reason) ? `HANGS: ${describe(problem)}` : reason;
  }
  const { code, syscall, details } = problem as { code?: unknown; syscall?: unknown; details?: unknown };
  if (typeof code === 'number' && typeof details === 'string') {
    const name = STATUS_NAMES[code] ?? String(code);
    return NO_OUTCOME.has(name) ? `HANGS: ${name} ${details}` : `status ${name}`;
  }
  if (typeof code === 'string' && typeof syscall === 'string') return `throws ${code}`;
  // Of grpc-js, whose text has that of the failed system call.
  if (/^No address added .*E[A-Z]+: .*, [a-z]/s.test((problem as Error).message)) return 'bindAsync fails';
  return `UNDOCUMENTED: ${describe(problem)}`;
}

function describe(error: unknown): string {
  return (error instanceof Error ? (error.stack ?? error.message) : String(error)).slice(0, 600);
}

/** Waits until nothing that was used before is being closed any more. */
export async function settledTable(): Promise<DescriptorTable> {
  for (let table = descriptorTable(); ; ) {
    await delay(50);
    const next = descriptorTable();
    if (namesOf(next) === namesOf(table)) return next;
    table = next;
  }
}

function namesOf(table: DescriptorTable): string {
  return [...table].join();
}

/** Waits until no descriptors are open that were not open before. Those that still are, one a line. */
export async function leftOver(before: DescriptorTable): Promise<string> {
  for (const end = Date.now() + 20_000; ; await delay(8)) {
    const left = [...descriptorTable()].filter(([fd, target]) => before.get(fd) !== target);
    if (left.length === 0) return '';
    if (Date.now() > end) return left.map(([fd, target]) => `${fd} -> ${target}`).join('\n');
  }
}
