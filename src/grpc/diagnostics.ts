/**
 * Events for `node:diagnostics_channel`, and lines for `NODE_DEBUG=grpcfd`. Nothing is made for them where nobody listens.
 *
 * Subscribers are called in a later turn of the event loop, in the order of the events. What happens to descriptors happens where no code
 * of the user may run: while bytes are on their way to HTTP/2, or in the middle of bookkeeping.
 */

import { channel } from 'node:diagnostics_channel';
import { debuglog } from 'node:util';
import type { GrpcFdError } from '../errors.js';
import type { CloseReason } from '../inbox/inbox-watcher.js';
import { setImmediate } from '../timers.js';
import type { FdConnection, FdConnectionStats } from './fd-transceiver.js';
import type { Peer } from './peer.js';
import type { RefusalReason } from './refusal.js';

/** The payload of `grpcfd:connection:open`: a connection was made, and nothing has been read from it. */
export interface ConnectionOpenEvent {
  /** The connection, which tells its peer. */
  readonly connection: FdConnection;
}

/** The payload of `grpcfd:connection:close`. */
export interface ConnectionCloseEvent {
  /** The connection. It is closed. */
  readonly connection: FdConnection;
  /** Its counters at the end. */
  readonly stats: FdConnectionStats;
  /** Why, where this process has closed it: what `close()` was given, or `ERR_GRPCFD_TOO_MANY_CONNECTIONS`. */
  readonly error: Error | undefined;
}

/** The payload of `grpcfd:connection:refused`: a connection was closed before anything was read from it. */
export interface ConnectionRefusedEvent {
  /** Which end this process is. */
  readonly role: 'client' | 'server';
  /** Undefined where it is not known. */
  readonly peer: Peer | undefined;
  /** Why: see {@link RefusalReason}. */
  readonly reason: RefusalReason;
  /** What the connection would fail with: its text says more. */
  readonly error: GrpcFdError;
}

/** The payload of `grpcfd:fd:sent`, `grpcfd:fd:received` and `grpcfd:fd:taken`. */
export interface FdEvent {
  /** The connection on which they travel. */
  readonly connection: FdConnection;
  /** How many descriptors. */
  readonly count: number;
}

/** The payload of `grpcfd:fd:closed`: descriptors that nobody had received were closed. */
export interface FdClosedEvent extends FdEvent {
  /** Why: see {@link CloseReason}. */
  readonly reason: CloseReason;
}

/** The payload of `grpcfd:fd:lost`: it is not known how many. */
export interface FdLostEvent {
  /** The connection on which they came. */
  readonly connection: FdConnection;
  /** Why. */
  readonly error: GrpcFdError;
}

/**
 * Why descriptors, or a call with them, were refused:
 *
 * - `acceptFds`: descriptors came to a connection with `acceptFds: false`, and were closed
 * - `methods`: the rule of the method in `methods` does not allow them
 * - `maxPendingReceives`: so many receives wait already
 * - `maxFdsPerCall`: more were attached to a call, which was not started
 * - `kernel`: the kernel refused to send a descriptor
 */
export type FdRefusalReason = 'acceptFds' | 'methods' | 'maxPendingReceives' | 'maxFdsPerCall' | 'kernel';

/** The payload of `grpcfd:fd:refused`. */
export interface FdRefusedEvent extends FdEvent {
  /** Why: see {@link FdRefusalReason}. */
  readonly reason: FdRefusalReason;
  /** What it fails with, where something fails at once. */
  readonly error: Error | undefined;
}

export const connectionOpen = channel('grpcfd:connection:open');
export const connectionClose = channel('grpcfd:connection:close');
export const connectionRefused = channel('grpcfd:connection:refused');
export const fdSent = channel('grpcfd:fd:sent');
export const fdReceived = channel('grpcfd:fd:received');
export const fdTaken = channel('grpcfd:fd:taken');
export const fdClosed = channel('grpcfd:fd:closed');
export const fdLost = channel('grpcfd:fd:lost');
export const fdRefused = channel('grpcfd:fd:refused');

type Channel = typeof connectionOpen;

let waiting: { readonly channel: Channel; readonly payload: object }[] = [];

/** Publishes `payload` soon. The caller has seen that the channel has subscribers. */
export function publish(channel: Channel, payload: object): void {
  if (waiting.length === 0) setImmediate(publishAll);
  waiting.push({ channel, payload });
}

function publishAll(): void {
  const all = waiting;
  waiting = [];
  // What a subscriber throws is an uncaught exception of its own tick, and stops nobody else.
  for (const { channel, payload } of all) channel.publish(payload);
}

/** A line on stderr where NODE_DEBUG has `grpcfd`. Look at `enabled` before you make a text. */
export const log = debuglog('grpcfd');
