import type * as grpc from '@grpc/grpc-js';
import type { ClaimEntry, Inode, SequenceRange } from '../inbox/names.js';
import { isCount, isId } from './reference.js';

/**
 * The metadata key in which a client names the descriptors that it attached to a call. Its value is `<connection id>` and, for each run of
 * descriptors with consecutive numbers, `;<id>.<number>.<sequence>.<dev>/<ino>.<dev>/<ino>…`. There, `fd:<id>:<number>` is the reference
 * of the first descriptor, and `sequence` its sequence number. A value `<connection id>!` only tells the id. A peer that is not this
 * package ignores the key.
 */
export const FDS_METADATA_KEY = 'grpcfd-fds';

/**
 * What a server of this package tells in the headers or the trailers of a response, under the same key:
 * `<connection id>[;<first>[-<last>]]…`. Other servers do not answer.
 */
export interface FdsAnswer {
  /** The id by which it knows the connection. */
  readonly connectionId: string;
  /** Sequence numbers of what it has sent in the call. There may be more. */
  readonly sent: readonly SequenceRange[];
}

/** An answer has at most so many ranges, and so at most 1 KB. A list of all that a long stream has sent would not fit into trailers. */
export const MAX_RANGES = 64;

/** Removes the answer from the metadata of a response, and returns it. Undefined where there is none, or nothing that can be understood. */
export function takeAnswer(response: grpc.Metadata): FdsAnswer | undefined {
  const [answer] = response.get(FDS_METADATA_KEY);
  if (answer === undefined) return undefined;
  response.remove(FDS_METADATA_KEY);
  return parseAnswer(String(answer));
}

export function formatAnswer(connectionId: string, sent: readonly SequenceRange[]): string {
  let text = connectionId;
  for (const { first, last } of sent) text += first === last ? `;${first}` : `;${first}-${last}`;
  return text;
}

export function parseAnswer(text: string): FdsAnswer | undefined {
  const [connectionId = '', ...parts] = text.split(';', MAX_RANGES + 1);
  if (!isId(connectionId)) return undefined;
  const sent: SequenceRange[] = [];
  for (const part of parts) {
    const [first = '', last = first, ...rest] = part.split('-');
    if (!isCount(first) || !isCount(last) || rest.length > 0) return undefined;
    sent.push({ first: Number(first), last: Number(last) });
  }
  return { connectionId, sent };
}

/** In place of the sequence number of a descriptor that was released before it was sent. */
export const NOT_SENT = 0;

/** One descriptor that was attached to a call, with the two parts of its reference. */
export interface FdsEntry extends ClaimEntry {
  readonly id: string;
  readonly number: number;
}

/** Descriptors whose references have the same id, and consecutive numbers from `number` on. */
export interface FdsRun {
  readonly id: string;
  readonly number: number;
  readonly entries: readonly ClaimEntry[];
}

export interface FdsMetadata {
  readonly connectionId: string;
  readonly runs: readonly FdsRun[];
  /** Set if the call has no FdCallCredentials, which would remove an answer from its response. */
  readonly isAnnouncement?: true;
}

/** Behind the id of a connection: the call has no descriptors, and wants no answer. */
const NO_ANSWER = '!';

/** The metadata of a call without descriptors, which only tells the server the id of the connection. */
export function formatAnnouncement(connectionId: string): string {
  return connectionId + NO_ANSWER;
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

/** The next sequence number within a run. After a descriptor that was not sent, its run has only others that were not sent. */
function sequenceAfter(sequence: number): number {
  return sequence === NOT_SENT ? NOT_SENT : sequence + 1;
}

/** Two numbers of 64 bits. Their length is checked, because the text of an error may contain them. */
function isInode(text: string): boolean {
  return text.length <= 41 && /^\d+\/\d+$/.test(text);
}

/**
 * Undefined where the value does not have the form above. It comes from a peer, and must not fail the call. The last one of several values
 * counts: where a proxy has copied an earlier one, that of the client follows it.
 */
export function parseFdsMetadata(value: string | readonly string[]): FdsMetadata | undefined {
  const text = typeof value === 'string' ? value : value.join(',');
  const own = text.slice(text.lastIndexOf(',') + 1).trim();
  const isAnnouncement = own.endsWith(NO_ANSWER);
  const [connectionId = '', ...parts] = (isAnnouncement ? own.slice(0, -NO_ANSWER.length) : own).split(';');
  if (!isId(connectionId)) return undefined;
  const runs: FdsRun[] = [];
  for (const part of parts) {
    const [id = '', number = '', first = '', ...inodes] = part.split('.');
    if (!isId(id) || !isCount(number) || !isCount(first) || inodes.length === 0) return undefined;
    if (!inodes.every(isInode)) return undefined;
    runs.push({ id, number: Number(number), entries: entriesOf(Number(first), inodes) });
  }
  return isAnnouncement ? { connectionId, runs, isAnnouncement } : { connectionId, runs };
}

function entriesOf(first: number, inodes: readonly Inode[]): ClaimEntry[] {
  let sequence = first;
  return inodes.map((inode, index) => {
    if (index > 0) sequence = sequenceAfter(sequence);
    return { sequence, inode };
  });
}
