import { type Rule, rule } from '../checks.js';
import { clearTimeout, now, setTimeout } from '../timers.js';

/** The clock and the timers of an inbox. Tests use their own. */
export interface Clock {
  /** Milliseconds that never go backwards. */
  now(): number;
  /** Calls `run` once, `delayMs` from now, unless the returned function is called first. */
  schedule(run: () => void, delayMs: number): () => void;
}

/** `setTimeout` changes a longer delay to 1 ms. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

export const aTimeout: Rule = rule(
  `above 0 and at most ${MAX_TIMER_MS}`,
  (value) => typeof value === 'number',
  (value) => Number(value) > 0 && Number(value) <= MAX_TIMER_MS,
);

/** Its timers do not keep the process alive: held descriptors are not a reason for that. */
export const systemClock: Clock = {
  now,
  schedule(run, delayMs) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
