/** The account that a process of a soak keeps of its calls, its descriptors and its connections. */
import { subscribe } from 'node:diagnostics_channel';
import * as grpcfd from 'grpcfd';
import type { Counts, Fault, OwnCounts, PeerCounts, Problem, Report } from './messages.js';
import { processId } from './process-id.js';

/** A process with more problems of one kind does not report the others. */
const MAX_OF_A_KIND = 20;
/** A peer that ended as soon as it had connected. */
const UNKNOWN = 'unknown';

export class Book {
  readonly counts: Counts = {};
  readonly own: OwnCounts = {
    given: 0,
    sent: 0,
    notSent: {},
    right: 0,
    wrong: 0,
    unchecked: {},
    notReceived: {},
  };
  /** Connections that end from now on do so because the process does. */
  isEnding = false;
  /** Descriptors of which it is not known yet whether they were sent. */
  unsettled = 0;
  readonly #hasOwnCounts: boolean;
  readonly #closedFor: Counts = {};
  readonly #open = new Map<grpcfd.FdConnection, string>();
  readonly #ended: Record<string, PeerCounts> = {};
  readonly #problems: Problem[] = [];

  /** @param hasOwnCounts whether the code of the soak sends and receives, and not that of the interop peers */
  constructor(hasOwnCounts: boolean) {
    this.#hasOwnCounts = hasOwnCounts;
    subscribe('grpcfd:connection:open', (event) => {
      const { connection } = event as grpcfd.ConnectionOpenEvent;
      this.#open.set(connection, processId(connection.peer?.pid ?? 0) ?? UNKNOWN);
    });
    subscribe('grpcfd:connection:close', (event) => {
      const { connection, stats } = event as grpcfd.ConnectionCloseEvent;
      const counts = peerCounts(this.#ended, this.#open.get(connection) ?? UNKNOWN);
      this.#open.delete(connection);
      add(counts, stats);
      if (!this.isEnding) counts.endedEarly++;
    });
    subscribe('grpcfd:fd:closed', (event) => {
      const { count, reason } = event as grpcfd.FdClosedEvent;
      increase(this.#closedFor, reason, count);
    });
  }

  count(what: string): void {
    increase(this.counts, what);
  }

  problem(fault: Fault, text: string): void {
    const known = this.#problems.filter((problem) => problem.fault === fault).length;
    if (known < MAX_OF_A_KIND) this.#problems.push({ fault, text });
  }

  /** A descriptor was given to the package, which will tell what becomes of it. */
  given({ sent }: grpcfd.SentFd): void {
    const { own } = this;
    own.given++;
    this.unsettled++;
    sent.then(
      () => {
        own.sent++;
        this.unsettled--;
      },
      (error: unknown) => {
        increase(own.notSent, reasonOf(error));
        this.unsettled--;
      },
    );
  }

  report(kind: Report['kind']): Report {
    const peers: Record<string, PeerCounts> = structuredClone(this.#ended);
    for (const [connection, peer] of this.#open) add(peerCounts(peers, peer), connection.stats());
    return {
      kind,
      counts: this.counts,
      own: this.#hasOwnCounts ? this.own : undefined,
      stats: grpcfd.stats(),
      closedFor: this.#closedFor,
      peers,
      problems: this.#problems,
    };
  }
}

export function increase(counts: Counts, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by;
}

/** The reason of an error of the package, without what all of them begin with. */
export function reasonOf(error: unknown): string {
  if (error instanceof grpcfd.GrpcFdError) return error.reason.replace('ERR_GRPCFD_', '');
  return error instanceof Error ? error.message : String(error);
}

function peerCounts(all: Record<string, PeerCounts>, peer: string): PeerCounts {
  all[peer] ??= { connections: 0, endedEarly: 0, sent: 0, received: 0, taken: 0, closed: 0 };
  return all[peer];
}

function add(counts: PeerCounts, stats: grpcfd.FdConnectionStats): void {
  counts.connections++;
  counts.sent += stats.sentFds;
  counts.received += stats.receivedFds;
  counts.taken += stats.takenFds;
  counts.closed += stats.closedFds;
}
