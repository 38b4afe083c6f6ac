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

/** Its timers do not keep the process alive: held descriptors are not a reason for that. */
export const systemClock: Clock = {
  now,
  schedule(run, delayMs) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
