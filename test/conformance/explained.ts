/** Differences from stock that are meant, each with its reason. They are counted, and fail nothing. */
import type { Difference } from './compare.js';

export interface Explanation {
  readonly reason: string;
  readonly covers: (difference: Difference) => boolean;
}

/** How a record ends: all before it is progress. */
const ENDINGS =
  /^(error|status|callback|end$|cancelled$|closed$|thrown$|pending$|server shut down$|failed to start|error of the handler$)/;

function progressOf(record: string): string[] {
  if (record === 'nothing') return [];
  return record.split(', ').filter((event) => !ENDINGS.test(event));
}

function isPrefix(shorter: readonly string[], longer: readonly string[]): boolean {
  return shorter.length <= longer.length && shorter.every((event, index) => event === longer[index]);
}

/** A call that somebody cut short: cancelled, out of time, or its connection ended. */
const CUT_SHORT = /(callback|status|error) (1|4|14)\b/;

export const EXPLAINED: readonly Explanation[] = [
  {
    reason:
      'A script cuts calls short after so many turns of the event loop, and bytes of ours take a part of a turn more, through the ' +
      'pair. What a call or a handler has seen by then is the beginning of what it sees with stock.',
    covers: ({ subject, ours, stock }) => {
      if (!/^(call|handler)/.test(subject)) return false;
      if (subject.startsWith('call') && !CUT_SHORT.test(ours)) return false;
      const progress = progressOf(ours);
      return stock.some((record) => isPrefix(progress, progressOf(record)));
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

/** What a stream is reset with depends on what ended its call first. */
function framesOf(record: string): string[] {
  return record === 'nothing' ? [] : record.replaceAll(/RST_STREAM \d+/g, 'RST_STREAM').split(', ');
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
