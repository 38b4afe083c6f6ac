import type { Copy } from './descriptor.js';

/** What a receive may come to, by the rules. It is certain where only one thing is allowed. */
export interface Expected {
  /** Any one of these; all of them are of one pipe. */
  readonly gives: readonly Copy[];
  /** Reasons of a failure, without ERR_GRPCFD_. */
  readonly fails: readonly string[];
  readonly mayWait: boolean;
}

export const WAITS: Expected = { gives: [], fails: [], mayWait: true };

export function fails(...reasons: string[]): Expected {
  return { gives: [], fails: reasons, mayWait: false };
}

export function gives(...copies: Copy[]): Expected {
  return { gives: copies, fails: [], mayWait: false };
}

export function isCertain({ gives, fails, mayWait }: Expected): boolean {
  return (gives.length > 0 ? 1 : 0) + (fails.length > 0 ? 1 : 0) + (mayWait ? 1 : 0) === 1;
}

export function describeExpected({ gives, fails, mayWait }: Expected): string {
  const sendings = [...new Set(gives.map(({ sending }) => `descriptor ${sending.id}`))];
  return [...sendings, ...fails, ...(mayWait ? ['to wait'] : [])].join(' or ');
}
