/** Scripts: all that a run does, as plain data that a seed gives, and that can be printed and cut down. */
import type { CallPlan } from './calls.js';
import type { HandlerPlan } from './handlers.js';
import type { Transport } from './library.js';
import type { Automatic, Step } from './wire/steps.js';

/** How a run of a client ends: it asks for another call, or is closed with the connections as they are. */
export type Ending = 'another call' | 'close' | 'cancel and close';

/** A grpc-js client under test, and a raw server. */
export interface RawServerScript {
  readonly family: 'raw server';
  readonly security: Transport;
  readonly calls: readonly CallPlan[];
  /** For the first connections, in the order in which they come. */
  readonly connections: readonly (readonly Step[])[];
  readonly automatic: Automatic;
  readonly ending: Ending;
}

/** A grpc-js server under test, and raw clients that connect at the same time. */
export interface RawClientScript {
  readonly family: 'raw client';
  readonly security: Transport;
  readonly handlers: readonly HandlerPlan[];
  readonly connections: readonly (readonly Step[])[];
  readonly automatic: Automatic;
  readonly ending: 'tryShutdown' | 'forceShutdown';
}

/** What happens between a client and a server, both under test. */
export type Deed =
  | { readonly do: 'call'; readonly plan: CallPlan }
  | { readonly do: 'cancel'; readonly call: number }
  | { readonly do: 'turns' | 'ms'; readonly count: number }
  | { readonly do: 'settle' }
  | { readonly do: 'tryShutdown' | 'forceShutdown' | 'restart' | 'close client' };

/** grpc-js at both ends. */
export interface BothEndsScript {
  readonly family: 'both ends';
  readonly security: Transport;
  readonly handlers: readonly HandlerPlan[];
  readonly deeds: readonly Deed[];
}

export type Script = RawServerScript | RawClientScript | BothEndsScript;
export type Family = Script['family'];
export const FAMILIES: readonly Family[] = ['raw server', 'raw client', 'both ends'];

/** Above so many bytes of bodies, memory is looked at. */
export const LARGE = 2_000_000;
