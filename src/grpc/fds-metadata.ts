import type * as grpc from '@grpc/grpc-js';
import type { ClaimEntry } from '../exchange/names.js';

/**
 * The metadata key in which a client names what it attached to a call: `<connection id>` and, for each descriptor,
 * `;<id>.<number>.<sequence>.<dev>.<ino>`, where `fd:<id>:<number>` is its reference. A peer that is not this package
 * ignores it.
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

export interface FdsMetadata {
  readonly connectionId: string;
  readonly entries: readonly FdsEntry[];
}

export function formatFdsMetadata(connectionId: string, entries: readonly FdsEntry[]): string {
  let text = connectionId;
  for (const { id, number, sequence, dev, ino } of entries) {
    text += `;${id}.${number}.${sequence}.${dev}.${ino}`;
  }
  return text;
}

const CONNECTION_ID = /^[A-Za-z0-9_-]{1,63}$/;
const ENTRY = /^([A-Za-z0-9_-]{1,64})\.(\d{1,15})\.(\d{1,15})\.(\d{1,20})\.(\d{1,20})$/;

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
  if (!CONNECTION_ID.test(connectionId)) return undefined;
  const entries: FdsEntry[] = [];
  for (const part of parts) {
    const [, id, number, sequence, dev, ino] = ENTRY.exec(part) ?? [];
    if (!id || !number || !sequence || !dev || !ino) return undefined;
    entries.push({
      id,
      number: Number(number),
      sequence: Number(sequence),
      dev: BigInt(dev),
      ino: BigInt(ino),
    });
  }
  return { connectionId, entries };
}
