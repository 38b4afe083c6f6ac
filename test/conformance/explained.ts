/** Differences from stock that are meant, each with its reason. They are counted, and fail nothing. */
import type { Difference } from './compare.js';

export interface Explanation {
  readonly reason: string;
  readonly covers: (difference: Difference) => boolean;
}

/** How a record ends: all before it is progress. */
const ENDINGS =
  /^(error|status|callback|metadata$|end$|cancelled$|closed$|thrown$|pending$|server shut down$|failed to start|error of the handler$)/;

function progressOf(record: string): string[] {
  if (record === 'nothing') return [];
  return record.split(', ').filter((event) => !ENDINGS.test(event));
}

function isPrefix(shorter: readonly string[], longer: readonly string[]): boolean {
  return shorter.length <= longer.length && shorter.every((event, index) => event === longer[index]);
}

/** A call that somebody cut short: cancelled, out of time, or its connection ended. */
const CUT_SHORT = /(callback|status|error) (1|4|14)\b|failed to start|Protocol error/;

export const EXPLAINED: readonly Explanation[] = [
  {
    reason:
      'A script cuts calls short after so many turns of the event loop: it cancels them, closes a client or shuts a server down. Bytes ' +
      'of ours take a part of a turn more or less, through the pair. What a call or a handler has seen by then is the beginning of ' +
      'what it sees with stock, or goes on where that ends.',
    covers: ({ subject, ours, stock }) => {
      const isCall = subject.startsWith('call');
      if (!isCall && !subject.startsWith('handler')) return false;
      const progress = progressOf(ours);
      return stock.some((record) => {
        if (isCall && !CUT_SHORT.test(ours) && !CUT_SHORT.test(record)) return false;
        const other = progressOf(record);
        return isPrefix(progress, other) || isPrefix(other, progress);
      });
    },
  },
  {
    reason:
      'A reset of the connection is met by a write or by a read, whichever comes first: the texts of UNAVAILABLE differ, as they do ' +
      'with stock from one time to another.',
    covers: ({ ours, stock }) => {
      const text = (record: string) => record.replaceAll(/14 [^,]*/g, '14');
      return stock.some((record) => text(record) === text(ours));
    },
  },
  {
    reason:
      'Ours ends connections that stock leaves open for ever, with a session that has given up without a word.',
    covers: (difference) => {
      const { subject, ours, stock } = difference;
      if (isPendingOnlyWithStock(difference)) return true;
      if (/^(descriptors|handles) left$/.test(subject)) return ours === 'none' && !stock.includes('none');
      if (subject.startsWith('the process')) return ours === 'exits';
      if (subject === 'shutdown') return ours === 'done';
      return subject.startsWith('after ') && ours === '0 connections open';
    },
  },
  {
    reason:
      'A raw peer that destroys its end, or whose peer is destroyed, sees more or fewer of the last frames: what was written to the ' +
      'pair is sent when the turn ends.',
    covers: ({ subject, ours, stock }) => {
      if (!subject.startsWith('connection')) return false;
      const seen = framesOf(ours);
      return stock.some((record) => isPrefix(framesOf(record), seen) || isPrefix(seen, framesOf(record)));
    },
  },
];

/** What ended a call or a session first decides what its stream is reset with, and which GOAWAY is sent. */
function framesOf(record: string): string[] {
  if (record === 'nothing') return [];
  return record.split(', ').filter((frame) => !/^(RST_STREAM|GOAWAY) /.test(frame));
}

function isPendingOnlyWithStock({ subject, ours, stock }: Difference): boolean {
  const isPending = (record: string) => /(^|, )pending/.test(record);
  return subject.startsWith('call') && !isPending(ours) && stock.every(isPending);
}

export function isExplained(differences: readonly Difference[]): boolean {
  // Where a connection hangs with stock, all that comes after it differs.
  if (differences.some(isPendingOnlyWithStock)) return true;
  return differences.every((difference) => EXPLAINED.some(({ covers }) => covers(difference)));
}
