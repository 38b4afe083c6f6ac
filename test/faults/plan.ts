/** What the process of a fault is told, and what it answers. */
import { GrpcFdError } from 'grpcfd';
import { assertSameDescriptors, type DescriptorTable } from '../support/fd-table.js';
import { WrongResult } from './wrong-result.js';

export interface Plan {
  readonly scenario: string;
  /** Default: none fails. The calls are counted. */
  readonly syscall?: string;
  readonly errors: readonly string[];
  /** The call of the first error that is the first to fail. */
  readonly first: number;
  readonly last: number;
  readonly step: number;
  /** The call fails in the first use of the addon by its process. */
  readonly isFirst: boolean;
}

export type Report =
  | { readonly kind: 'counted'; readonly counts: readonly (readonly [string, number])[] }
  | { readonly kind: 'begins'; readonly call: number; readonly error: string }
  | {
      readonly kind: 'ran';
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

const STATUS_NAMES = ['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS',
  'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED', 'INTERNAL',
  'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'];

/** Those that tell that something hangs, or nothing at all. */
const NO_OUTCOME = new Set(['DEADLINE_EXCEEDED', 'UNKNOWN', 'OK']);

/** One line for the table of outcomes. */
export function outcomeOf(problem: unknown, unexpected: readonly unknown[]): string {
  if (unexpected.length > 0) return `UNCAUGHT: ${describe(unexpected[0])}`;
  if (problem === undefined) return WORKS;
  if (problem instanceof WrongResult) return `WRONG: ${problem.message}`;
  if (problem instanceof GrpcFdError) {
    const reason = problem.reason.replace('ERR_GRPCFD_', '');
    return reason === 'TIMEOUT' || reason === 'HOLD_EXPIRED' ? `HANGS: ${describe(problem)}` : reason;
  }
  const { code, syscall, details } = problem as { code?: unknown; syscall?: unknown; details?: unknown };
  if (typeof code === 'number' && typeof details === 'string') {
    const name = STATUS_NAMES[code] ?? String(code);
    return NO_OUTCOME.has(name) ? `HANGS: ${name} ${details}` : `status ${name}`;
  }
  if (typeof code === 'string' && typeof syscall === 'string') return `throws ${code}`;
  return `UNDOCUMENTED: ${describe(problem)}`;
}

function describe(error: unknown): string {
  return (error instanceof Error ? (error.stack ?? error.message) : String(error)).slice(0, 600);
}

/** Waits until no more descriptors are open than before. Those that still are, one a line. */
export async function leftOver(before: DescriptorTable): Promise<string> {
  try {
    await assertSameDescriptors(before, 5_000);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}
