/** The orders of a client and its results; `interop/README.md` describes the fields. */
import type { Kind } from './protocol.js';
import type { Security } from './security.js';

export type Rpc = 'unary' | 'clientStream' | 'serverStream' | 'bidi';
export type Direction = 'c2s' | 's2c';

export interface Row {
  readonly id: number;
  readonly op?: 'exchange' | 'health' | 'preface' | 'modes' | 'close';
  readonly target: string;
  readonly security: Security;
  readonly rpc?: Rpc;
  readonly direction?: Direction;
  readonly kind?: Kind;
  readonly fds?: number;
  readonly times?: number;
  readonly keep?: boolean;
  readonly warm?: boolean;
  readonly receiveMs: number;
  readonly deadlineMs?: number;
}

export interface RowResult {
  readonly id: number;
  readonly ok: boolean;
  readonly reason?: string;
  readonly ms: number;
}
