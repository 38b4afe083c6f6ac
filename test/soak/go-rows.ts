/** Calls between a Go peer and this package: rows of the interop matrix that follow from the seed. */
import { join } from 'node:path';
import type { Row } from '../../interop/node/row.js';
import type { Random } from '../support/random.js';
import type { Fault } from './messages.js';

export const EXCHANGE_SECURITIES = ['plaintext', 'tls'] as const;

/** A server keeps the files of so many calls. A client may be slow to look at what it received, and others make calls meanwhile. */
export const SHELF_SIZE = 64;

const RPCS = ['unary', 'clientStream', 'serverStream', 'bidi'] as const;
const KINDS = ['REGULAR', 'UNLINKED', 'MEMFD', 'SOCKET', 'DIRECTORY', 'PROC_FD', 'NETNS'] as const;
/** The small answers of a Go process have nine bytes, and it panics with more descriptors queued. */
const MOST_FDS = 9;
const RECEIVE_MS = 120_000;
const MAX_SHORT_DEADLINE_MS = 100;

/** @param mayDial whether some rows have a connection of their own */
export function planRow(random: Random, directory: string, mayDial: boolean): Omit<Row, 'id'> {
  const security = pick(random, EXCHANGE_SECURITIES);
  const kind = pick(random, KINDS);
  const keep = random(10) !== 0 || !mayDial;
  return {
    security,
    target: `unix:${join(directory, `${security}.sock`)}`,
    rpc: pick(random, RPCS),
    direction: random(2) === 0 ? 'c2s' : 's2c',
    kind,
    // All names of a network namespace are one inode.
    fds: kind === 'NETNS' ? 1 : 1 + random(MOST_FDS),
    keep,
    warm: true,
    receiveMs: RECEIVE_MS,
    ...(random(8) === 0 ? { deadlineMs: 1 + random(MAX_SHORT_DEADLINE_MS) } : {}),
  };
}

/** After so long, the call of the row is over. */
export function limitOf({ deadlineMs, receiveMs }: Pick<Row, 'deadlineMs' | 'receiveMs'>): number {
  return deadlineMs ?? receiveMs + 3_000;
}

interface Judge {
  count(what: string): void;
  problem(fault: Fault, text: string): void;
}

/** What a server that was killed makes of a call, and of the sockets and the files in /proc that it had sent. */
const BROKEN =
  /UNAVAILABLE|Unavailable|CONNECTION_CLOSED|connection closed before|RST_STREAM with code 0|ECONNRESET|ECONNREFUSED|ENOENT/;
const CUT_SHORT = /DEADLINE_EXCEEDED|DeadlineExceeded|CANCELLED|Canceled|the client waited|context deadline/;

/** Counts how a row ended. @param reason undefined if it went well, 'hang' if it did not end */
export function judgeRow(
  row: Omit<Row, 'id'>,
  reason: string | undefined,
  judge: Judge,
  mayBreak = true,
): void {
  const what = `${row.security} ${row.rpc} ${row.direction} ${row.kind} ${row.fds}`;
  if (reason === undefined) judge.count('rows: OK');
  else if (reason === 'hang') judge.problem('hang', `row ${what}`);
  else if (row.deadlineMs !== undefined && CUT_SHORT.test(reason)) judge.count('rows: DEADLINE_EXCEEDED');
  else if (mayBreak && BROKEN.test(reason)) judge.count('rows: UNAVAILABLE');
  else {
    judge.count('rows: failed');
    const isWrong = /found ".*", not "|received inode:/.test(reason);
    judge.problem(isWrong ? 'wrong file' : 'unexpected outcome', `row ${what}: ${reason}`);
  }
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random(from.length)] as T;
}
