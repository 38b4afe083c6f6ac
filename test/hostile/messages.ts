/** What the processes of a storm say to each other. */
import type { FdStats } from 'grpcfd';

export type ServerOrder = { readonly kind: 'begin' } | { readonly kind: 'end' } | { readonly kind: 'look' };

/** What a server process has, at one moment. */
export interface State {
  /** V8's heap and what is outside of it, after a collection. */
  readonly usedBytes: number;
  readonly stats: FdStats;
  /** Receives that wait, and closes. */
  readonly pendingReceives: number;
  readonly pendingCloses: number;
}

export interface Delay {
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface ServerReport {
  readonly kind: 'serves' | 'begun' | 'ended' | 'looked';
  readonly problems: readonly string[];
  readonly state?: State;
  /** Of the event loop, from 'begin' to 'end'. */
  readonly delay?: Delay;
}

/** What an attacker has done up to now. */
export interface Attack {
  connections: number;
  messages: number;
  descriptors: number;
  calls: number;
  /** Names, waits, handshakes: whatever the storm is about. */
  others: number;
}

export interface AttackerReport {
  readonly kind: 'begun' | 'alive';
  readonly problems: readonly string[];
  readonly attack: Attack;
}

/** A bystander: what its calls came to. */
export interface Served {
  readonly calls: number;
  readonly failed: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export type BystanderOrder = { readonly kind: 'begin' } | { readonly kind: 'end' };

export interface BystanderReport {
  readonly kind: 'ready' | 'ended';
  /** Wrong files, and the first failures of calls. */
  readonly problems: readonly string[];
  readonly served?: Served;
  readonly refusals?: readonly string[];
}

export const NOTHING: Attack = { connections: 0, messages: 0, descriptors: 0, calls: 0, others: 0 };
