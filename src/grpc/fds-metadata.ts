import type * as grpc from '@grpc/grpc-js';
import type { ClaimEntry, Inode } from '../inbox/names.js';
import { isCount, isId } from './reference.js';

/**
 * The metadata key in which a client names what it attached to a call: `<connection id>` and, for each run of descriptors with
 * consecutive numbers, `;<id>.<number>.<sequence>.<dev>/<ino>.<dev>/<ino>…`, where `fd:<id>:<number>` is the reference of the first, and
 * `sequence` its place. A peer that is not this package ignores it.
 */
export const FDS_METADATA_KEY = 'grpcfd-fds';

/**
 * Takes what a server of this package answers to {@link FDS_METADATA_KEY} out of the metadata of its response: under the same
 * key, the id by which it knows the connection. Undefined from another server.
 */
export function takeAnswer(response: grpc.Metadata): string | undefined {
  const [answer] = response.get(FDS_METADATA_KEY);
  if (answer === undefined) return undefined;
  response.remove(FDS_METADATA_KEY);
  return String(answer);
}

/** The sequence of a descriptor that was let go of before: it keeps its place among the others of its call. */
export const NOT_SENT = 0;

/** One descriptor that was attached to a call, with the two parts of its reference. */
export interface FdsEntry extends ClaimEntry {
  readonly id: string;
  readonly number: number;
}

/** Descriptors whose references have one id, and numbers from `number` on. */
export interface FdsRun {
  readonly id: string;
  readonly number: number;
  readonly entries: readonly ClaimEntry[];
}

export interface FdsMetadata {
  readonly connectionId: string;
  readonly runs: readonly FdsRun[];
}

export function formatFdsMetadata(connectionId: string, entries: readonly FdsEntry[]): string {
  let text = connectionId;
  let last: FdsEntry | undefined;
  for (const entry of entries) {
    const { id, number, sequence, inode } = entry;
    const continues =
      last?.id === id && number === last.number + 1 && sequence === sequenceAfter(last.sequence);
    text += continues ? `.${inode}` : `;${id}.${number}.${sequence}.${inode}`;
    last = entry;
  }
  return text;
}

/** Within a run. What was not sent has no place, and what follows it in its run was not sent either. */
function sequenceAfter(sequence: number): number {
  return sequence === NOT_SENT ? NOT_SENT : sequence + 1;
}

/** Two numbers of 64 bits. The length bounds an error's text, which has it. */
function isInode(text: string): boolean {
  return text.length <= 41 && /^\d+\/\d+$/.test(text);
}

/**
 * Undefined for what is not in the form above: it comes from a peer, and fails no call. Of several values the last counts:
 * where a proxy copied an earlier one, the client's own stands behind it.
 */
export function parseFdsMetadata(value: string | readonly string[]): FdsMetadata | undefined {
  const text = typeof value === 'string' ? value : value.join(',');
  const [connectionId = '', ...parts] = text
    .slice(text.lastIndexOf(',') + 1)
    .trim()
    .split(';');
  if (!isId(connectionId)) return undefined;
  const runs: FdsRun[] = [];
  for (const part of parts) {
    const [id = '', number = '', first = '', ...inodes] = part.split('.');
    if (!isId(id) || !isCount(number) || !isCount(first) || inodes.length === 0) return undefined;
    if (!inodes.every(isInode)) return undefined;
    runs.push({ id, number: Number(number), entries: entriesOf(Number(first), inodes) });
  }
  return { connectionId, runs };
}

function entriesOf(first: number, inodes: readonly Inode[]): ClaimEntry[] {
  let sequence = first;
  return inodes.map((inode, index) => {
    if (index > 0) sequence = sequenceAfter(sequence);
    return { sequence, inode };
  });
}
