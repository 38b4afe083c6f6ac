/** Differences from stock that are meant, each with its reason. They are counted, and fail nothing. */
import type { Difference } from './compare.js';

export interface Explanation {
  readonly reason: string;
  readonly covers: (difference: Difference) => boolean;
}

export const EXPLAINED: readonly Explanation[] = [
  {
    reason:
      'Somebody cut the call short. Bytes of ours take a part of a turn more, and several writes of one turn come as one. So a call or ' +
      'a handler that ends in the same way as with stock may have seen a little less or a little more before.',
    covers: ({ subject, ours, stock }) => {
      if (!/^(call|handler) /.test(subject)) return false;
      return SPLITS.some((split) => {
        const [progress, endings] = split(subject, ours);
        return stock.some((record) => {
          const [otherProgress, otherEndings] = split(subject, record);
          return sameInAnyOrder(endings, otherEndings) && isPrefixOfOther(progress, otherProgress);
        });
      });
    },
  },
  {
    reason:
      'A reset of the connection is met by a write or by a read, whichever comes first. The texts of UNAVAILABLE differ then, and ' +
      'stock may give INTERNAL where ours gives UNAVAILABLE.',
    covers: ({ ours, stock }) => {
      const codes = (record: string) =>
        record.replaceAll(/14 [^,]*/g, '14').replaceAll(/13 Received RST_STREAM with code 0[^,]*/g, '14');
      return /\b14 /.test(ours) && stock.some((record) => codes(record) === codes(ours));
    },
  },
  {
    reason:
      'A call that meets a shutdown fails before its first message, with stock in one order of events and with ours in another: its ' +
      'connection is refused or reset, its stream is refused, or the server cancels it. A refused stream is sent again once, and may ' +
      'meet the next shutdown. The two steps in which our servers end sessions would avoid it, but they are switched off here.',
    covers: (difference) => meetsShutdown(difference),
  },
  {
    reason:
      'Ours ends connections that stock leaves open for ever, with a session that has given up without a word.',
    covers: (difference) => {
      const { subject, ours, stock } = difference;
      if (isPendingOnlyWithStock(difference)) return true;
      if (/^(descriptors|handles) left$/.test(subject)) return ours === 'none' && !stock.includes('none');
      if (subject.startsWith('handler'))
        return stock.some((record) => `${record}, server shut down` === ours);
      if (subject.startsWith('the process')) return ours === 'exits';
      if (subject === 'shutdown') return ours === 'done';
      return subject.startsWith('after ') && ours === '0 connections open';
    },
  },
  {
    reason:
      'A raw peer that destroys its end, or whose peer is destroyed, sees the last frames or not. What ended a call or a session first ' +
      'decides with which code.',
    covers: ({ subject, ours, stock }) => {
      if (!subject.startsWith('connection ')) return false;
      return stock.some((record) => isPrefixOfOther(framesOf(ours), framesOf(record)));
    },
  },
];

/** CANCELLED or UNAVAILABLE, and no message. */
const FAILED_EARLY = /^(metadata, )?(callback|error) (1|14)\b/;

const REFUSED = /^(metadata, )?(callback|error) 14\b.*Stream refused by server/;

function meetsShutdown({ subject, ours, stock }: Difference): boolean {
  if (!subject.startsWith('call')) return false;
  return REFUSED.test(ours) || (FAILED_EARLY.test(ours) && stock.some((record) => FAILED_EARLY.test(record)));
}

/** How a call ends. All before it is progress. */
const ENDINGS_OF_CALL = /^(error|status|callback|end$|thrown$|pending$|failed to start)/;
/** What happens to a handler, besides what comes from its client. */
const ENDINGS_OF_HANDLER = /^(error|cancelled$|thrown$|server shut down$)/;
/** The same for one whose client cancels: grpc-js ends the requests then. */
const ENDINGS_OF_CANCELLED_HANDLER = /^(end$|error|cancelled$|thrown$|server shut down$)/;

type Split = (subject: string, record: string) => [progress: string[], endings: string[]];

/** The `end` of a handler that was cancelled is the client's, or that of grpc-js. */
const SPLITS: readonly Split[] = [ENDINGS_OF_CANCELLED_HANDLER, ENDINGS_OF_HANDLER].map(
  (endingsOfCancelled) => (subject, record) => {
    const events = record === 'nothing' ? [] : record.split(', ');
    const endingsOfHandler = events.includes('cancelled') ? endingsOfCancelled : ENDINGS_OF_HANDLER;
    const ending = subject.startsWith('call') ? ENDINGS_OF_CALL : endingsOfHandler;
    return [events.filter((event) => !ending.test(event)), events.filter((event) => ending.test(event))];
  },
);

/** A handler that shuts its server down at each request is told so each time. */
function sameInAnyOrder(some: readonly string[], others: readonly string[]): boolean {
  const sorted = (events: readonly string[]) => [...new Set(events)].sort().join();
  return sorted(some) === sorted(others);
}

function isPrefixOfOther(some: readonly string[], others: readonly string[]): boolean {
  const length = Math.min(some.length, others.length);
  return some.slice(0, length).join() === others.slice(0, length).join();
}

/** Without what ends a stream or a session. */
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
  const unexplained = differences.filter((difference) => !EXPLAINED.some(({ covers }) => covers(difference)));
  // Where a call did not get as far as its handler, there is none.
  const isMissingHandler = ({ subject, ours }: Difference) =>
    subject.startsWith('handler') && ours === 'nothing';
  return differences.some(meetsShutdown) ? unexplained.every(isMissingHandler) : unexplained.length === 0;
}
