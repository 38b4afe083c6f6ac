import type { ClaimEntry } from '../exchange/names.js';

/**
 * The metadata key in which a client names what it attached to a call: `<connection id>` and, for each descriptor,
 * `;<credentials id>.<index>.<sequence>.<dev>.<ino>`. A peer that is not this package ignores it.
 */
export const FDS_METADATA_KEY = 'grpcfd-fds';

/** One descriptor that was attached to a call. */
export interface FdsEntry extends ClaimEntry {
  /** Of the FdCallCredentials that it was attached to. */
  readonly credentialsId: string;
  /** Its place among what was attached to them, from 0. */
  readonly index: number;
}

export interface FdsMetadata {
  readonly connectionId: string;
  readonly entries: readonly FdsEntry[];
}

export function formatFdsMetadata(connectionId: string, entries: readonly FdsEntry[]): string {
  let text = connectionId;
  for (const { credentialsId, index, sequence, dev, ino } of entries) {
    text += `;${credentialsId}.${index}.${sequence}.${dev}.${ino}`;
  }
  return text;
}

const CONNECTION_ID = /^[A-Za-z0-9_-]{1,64}$/;
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
    const [, credentialsId, index, sequence, dev, ino] = ENTRY.exec(part) ?? [];
    if (!credentialsId || !index || !sequence || !dev || !ino) return undefined;
    entries.push({
      credentialsId,
      index: Number(index),
      sequence: Number(sequence),
      dev: BigInt(dev),
      ino: BigInt(ino),
    });
  }
  return { connectionId, entries };
}
