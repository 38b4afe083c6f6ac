/** The rows of the interop matrix, and the expected outcome of each. */
import type { Kind } from '../node/protocol.js';
import type { Direction, Rpc } from '../node/row.js';
import type { Security } from '../node/security.js';

export type Language = 'node' | 'go';

export interface Cell {
  readonly client: Language;
  readonly server: Language;
  readonly security: Security;
  readonly rpc: Rpc;
  readonly direction: Direction;
  readonly kind: Kind;
  readonly fds: number;
}

/** A row of the result, as it stands in the JSON file. */
export interface MatrixRow extends Cell {
  /** Whether the row with Go at both ends passed. */
  readonly control: boolean;
  readonly controlReason?: string;
  readonly ok: boolean;
  /** The reason why it failed, or an incident in a row that passed. */
  readonly reason?: string;
  /** How often the row was run until it passed or was given up. */
  readonly attempts: number;
  readonly ms: number;
}

export const LANGUAGES: readonly Language[] = ['node', 'go'];
export const MATRIX_SECURITIES: readonly Security[] = ['plaintext', 'tls', 'mtls'];
export const RPCS: readonly Rpc[] = ['unary', 'clientStream', 'serverStream', 'bidi'];
export const DIRECTIONS: readonly Direction[] = ['c2s', 's2c'];
export const KINDS: readonly Kind[] = [
  'REGULAR',
  'UNLINKED',
  'MEMFD',
  'SOCKET',
  'DIRECTORY',
  'PROC_FD',
  'NETNS',
];
export const COUNTS: readonly number[] = [1, 2, 64, 200];

/** All rows, the controls first. */
export function allCells(): Cell[] {
  const cells: Cell[] = [];
  for (const { kind, fds } of pairs(KINDS, COUNTS, (kind, fds) => ({ kind, fds }))) {
    for (const call of calls()) cells.push({ ...call, kind, fds });
  }
  return controlsFirst(cells);
}

/** Each kind of call once, with varying kinds and numbers of files, few enough not to endanger a Go process. */
export function shortCells(): Cell[] {
  const counts = COUNTS.filter((count) => count < DANGEROUS_FDS);
  return controlsFirst(
    calls().map((call, i) => ({
      ...call,
      kind: KINDS[i % KINDS.length] ?? 'REGULAR',
      fds: counts[Math.floor(i / KINDS.length) % counts.length] ?? 1,
    })),
  );
}

/** From this number on, the Go package may panic: it has more fds queued than some small frame has bytes. */
const DANGEROUS_FDS = 64;

export function isControl({ client, server }: Cell): boolean {
  return client === 'go' && server === 'go';
}

export function sender({ client, server, direction }: Cell): Language {
  return direction === 'c2s' ? client : server;
}

/** Whether the sending Go process may die during the row or later because of it, and so must not run another row. */
export function endangersGo(cell: Cell): boolean {
  return sender(cell) === 'go' && cell.fds >= DANGEROUS_FDS;
}

/** The properties that a row shares with its control. */
export function controlKey({ security, rpc, direction, kind, fds }: Cell): string {
  return [security, rpc, direction, kind, fds].join();
}

/**
 * Whether a row has the expected outcome: files that this package sends must arrive, and files that Go sends must arrive if they
 * arrive at another Go peer.
 */
export function isSound(row: MatrixRow): boolean {
  return row.ok || isControl(row) || (sender(row) === 'go' && !row.control);
}

function calls(): Omit<Cell, 'kind' | 'fds'>[] {
  const ends = pairs(LANGUAGES, LANGUAGES, (client, server) => ({ client, server }));
  const ways = pairs(RPCS, DIRECTIONS, (rpc, direction) => ({ rpc, direction }));
  const secured = pairs(ends, MATRIX_SECURITIES, (end, security) => ({ ...end, security }));
  return pairs(secured, ways, (end, way) => ({ ...end, ...way }));
}

function controlsFirst(cells: readonly Cell[]): Cell[] {
  return [...cells.filter(isControl), ...cells.filter((cell) => !isControl(cell))];
}

function pairs<A, B, C>(as: readonly A[], bs: readonly B[], pair: (a: A, b: B) => C): C[] {
  return as.flatMap((a) => bs.map((b) => pair(a, b)));
}
