/** Random plans of calls and of handlers. */

import { KINDS } from '../../support/kinds.js';
import type { CallPlan } from '../calls.js';
import type { HandlerPlan } from '../handlers.js';
import type { Dice } from './dice.js';

/** Around the borders of a frame (16,384) and of a window (65,535). */
const SIZES = [0, 1, 100, 5_000, 16_379, 16_384, 40_000, 65_535] as const;
const MEGABYTE = 1_000_000;

export function callPlan(dice: Dice): CallPlan {
  const kind = dice.pick(KINDS);
  const requests = dice.times(1 + dice.below(kind === 'unary' ? 1 : 3), () => size(dice));
  return {
    kind,
    requests,
    start: dice.pick([0, 0, 1, 5, 'after the last', 'after the last']),
    ...dice.maybe(12, () => ({ deadlineMs: dice.pick([0, 6, 6]) })),
    ...dice.maybe(5, () => ({
      cancel: { on: dice.pick(['start', 'metadata', 'data'] as const), turns: dice.pick([0, 0, 1, 3, 8]) },
    })),
    ...dice.maybe(5, () => ({
      act: {
        in: dice.pick(['metadata', 'data', 'data', 'end', 'status', 'callback']),
        what: dice.pick(['throw', 'throw', 'close client', 'pause', 'write']),
      },
    })),
    ...dice.maybe(6, () => ({ staysOpen: true })),
    ...dice.maybe(3, () => ({ slowly: true })),
  };
}

/** Calls with several megabytes of requests, for a look at the memory that they leave. */
export function largeCallPlans(dice: Dice): CallPlan[] {
  return dice.times(3, () => ({
    kind: dice.pick(['unary', 'clientStream'] as const),
    requests: [MEGABYTE],
    start: dice.pick([0, 'after the last'] as const),
    ...dice.maybe(5, () => ({ cancel: { on: 'start' as const, turns: dice.below(10) } })),
  }));
}

export function handlerPlan(dice: Dice): HandlerPlan {
  return {
    replies: dice.times(dice.below(4), () => size(dice)),
    finish: dice.pick(['ok', 'ok', 'ok', 'error', 'never']),
    when: dice.pick(['last request', 'last request', 0, 1, 5]),
    ...dice.maybe(3, () => ({ metadataFirst: true })),
    ...dice.maybe(6, () => ({
      act: {
        in: dice.pick(['start', 'request', 'end', 'cancelled']),
        what: dice.pick(['throw', 'throw', 'tryShutdown', 'forceShutdown', 'destroy']),
      },
    })),
    ...dice.maybe(8, () => ({ deaf: true })),
  };
}

function size(dice: Dice): number {
  return dice.once(2) ? dice.below(200) : dice.pick(SIZES);
}
