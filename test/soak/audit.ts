/** Compares what the processes of a soak say of themselves and of each other. Nothing but sums: it is given all it needs. */
import type { Counts, PeerCounts, Problem, Report } from './messages.js';

export interface Audited {
  readonly name: string;
  /** See `processId()`. */
  readonly id: string;
  /** The last report of a process that finished. */
  readonly report: Report;
}

/** One direction between two processes that both finished. */
export interface PairRow {
  readonly from: string;
  readonly to: string;
  readonly connections: number;
  readonly sent: number;
  readonly received: number;
  /** Of those received, by users, and by nobody before the package closed them. */
  readonly taken: number;
  readonly closed: number;
  /** Not read by the receiver, because a connection of the two ended meanwhile. */
  readonly unread: number;
}

/** What a process that finished says of another that does not tell: it was killed, or is a Go peer. */
export interface OneSidedRow extends Omit<PeerCounts, 'endedEarly'> {
  readonly name: string;
  readonly peer: string;
}

export interface Audit {
  readonly pairs: readonly PairRow[];
  readonly oneSided: readonly OneSidedRow[];
  readonly problems: readonly Problem[];
}

/** @param silent names of those that do not tell, by their ids */
export function audit(processes: readonly Audited[], silent: ReadonlyMap<string, string> = new Map()): Audit {
  const problems: Problem[] = [];
  const miscount = (text: string) => void problems.push({ fault: 'miscount', text });
  for (const process of processes) auditProcess(process, miscount);
  const pairs = processes.flatMap((from) =>
    processes.flatMap((to) => {
      const row = auditPair(from, to, miscount);
      return row === undefined ? [] : [row];
    }),
  );
  const oneSided = processes.flatMap(({ name, report }) =>
    Object.entries(report.peers).flatMap(([id, { endedEarly: _, ...counts }]) => {
      const peer = silent.get(id);
      return peer === undefined ? [] : [{ name, peer, ...counts }];
    }),
  );
  return { pairs, oneSided, problems };
}

function auditProcess({ name, report }: Audited, miscount: (text: string) => void): void {
  const { stats, own, peers } = report;
  const equal = (what: string, one: number, other: number) => {
    if (one !== other) miscount(`${name}: ${what}: ${one}, not ${other}`);
  };
  const all = Object.values(peers);
  equal('descriptors sent, over its connections', sum(all, 'sent'), stats.sentFds);
  equal('descriptors received, over its connections', sum(all, 'received'), stats.receivedFds);
  equal('descriptors closed, by reason', total(report.closedFor), stats.closedFds);
  equal('connections at the end', stats.connections, 0);
  equal('descriptors held at the end', stats.heldFds, 0);
  equal('descriptors lost', stats.losses, 0);
  if (own === undefined) {
    // All receives were by URL, and gave duplicates.
    equal('descriptors received, and closed by the package', stats.receivedFds, stats.closedFds);
    return;
  }
  equal('descriptors received, taken and closed', stats.receivedFds, stats.takenFds + stats.closedFds);
  equal('descriptors taken, and looked at', stats.takenFds, own.right + own.wrong + total(own.unchecked));
  equal('descriptors given, sent and not sent', own.given, own.sent + total(own.notSent));
  // An attempt of a call that was refused by its server is followed by another one, with the same descriptors.
  if (stats.sentFds < own.sent) {
    miscount(`${name}: ${own.sent} descriptors were reported as sent, and the kernel took ${stats.sentFds}`);
  }
}

function auditPair(from: Audited, to: Audited, miscount: (text: string) => void): PairRow | undefined {
  const sender = from.report.peers[to.id];
  const receiver = to.report.peers[from.id];
  if (sender === undefined && receiver === undefined) return undefined;
  const { sent, connections, endedEarly } = sender ?? NONE;
  const { received, taken, closed, endedEarly: alsoEndedEarly } = receiver ?? NONE;
  const unread = sent - received;
  const mayBeUnread = endedEarly + alsoEndedEarly > 0;
  if (unread < 0 || (unread > 0 && !mayBeUnread)) {
    miscount(`${from.name} sent ${sent} descriptors to ${to.name}, which received ${received}`);
  }
  return { from: from.name, to: to.name, connections, sent, received, taken, closed, unread };
}

const NONE: PeerCounts = { connections: 0, endedEarly: 0, sent: 0, received: 0, taken: 0, closed: 0 };

function sum(all: readonly PeerCounts[], what: 'sent' | 'received'): number {
  return all.reduce((so, counts) => so + counts[what], 0);
}

export function total(counts: Counts): number {
  return Object.values(counts).reduce((so, count) => so + count, 0);
}
