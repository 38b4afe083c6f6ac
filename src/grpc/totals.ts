import { heldFds } from '../inbox/held-total.js';

/** Counters of this thread of the process. Those without "now" count since the package was loaded. */
export interface FdStats {
  /** Connections that are open now. */
  readonly connections: number;
  /** Connections that were opened. */
  readonly openedConnections: number;
  /** Connections that wait now for the answer of `authorize()`. */
  readonly undecidedConnections: number;
  /** Connections that were refused: by `authorize()`, by a limit, or because it was not known who is there. */
  readonly refusedConnections: number;
  /** Connections that were closed because another account needed their place (`maxConnections`). */
  readonly evictedConnections: number;
  /** Descriptors that the kernel took. */
  readonly sentFds: number;
  /** Descriptors received. */
  readonly receivedFds: number;
  /** Descriptors that receivers were given, duplicates included. */
  readonly takenFds: number;
  /** Descriptors held now. */
  readonly heldFds: number;
  /** Descriptors closed that nobody had received, for any reason. */
  readonly closedFds: number;
  /** Of these, those closed at `maxHeldFds`. */
  readonly evictedFds: number;
  /** Of these, those closed at `maxHeldFdsTotal`. */
  readonly evictedFdsTotal: number;
  /** Of these, those that ended calls had received by URL, and that were closed because the descriptor table was about full. */
  readonly evictedFdsFullTable: number;
  /** Of these, those closed at `holdMs`. */
  readonly expiredFds: number;
  /** Of these, those closed because a newer one of the same inode came from a peer that names descriptors by URL alone. */
  readonly supersededFds: number;
  /** Descriptors that were closed as soon as they came (`acceptFds: false`), and those that the kernel refused to send. */
  readonly refusedFds: number;
  /** Calls that were refused, because of the descriptors that came with them (`methods`). */
  readonly refusedCalls: number;
  /** Receives that were refused (`maxPendingReceives`). */
  readonly refusedReceives: number;
  /** How often descriptors were lost. How many is not known. */
  readonly losses: number;
}

/** Written by the connections of this thread. */
export const totals: { -readonly [Name in Exclude<keyof FdStats, 'heldFds'>]: number } = {
  connections: 0,
  openedConnections: 0,
  undecidedConnections: 0,
  refusedConnections: 0,
  evictedConnections: 0,
  sentFds: 0,
  receivedFds: 0,
  takenFds: 0,
  closedFds: 0,
  evictedFds: 0,
  evictedFdsTotal: 0,
  evictedFdsFullTable: 0,
  expiredFds: 0,
  supersededFds: 0,
  refusedFds: 0,
  refusedCalls: 0,
  refusedReceives: 0,
  losses: 0,
};

/** The counters of all connections of this thread, as they are now. A worker has counters of its own. */
export function stats(): FdStats {
  return { ...totals, heldFds: heldFds() };
}
