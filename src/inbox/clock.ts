import { clearTimeout, now, setTimeout } from '../timers.js';

/** Time as the inbox needs it; tests bring their own. */
export interface Clock {
  /** Milliseconds that never go backwards. */
  now(): number;
  /** Calls `run` once, `delayMs` from now, unless the returned function is called first. */
  schedule(run: () => void, delayMs: number): () => void;
}

/** `setTimeout` takes a longer delay for 1 ms. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** Its timers never keep the process alive: holding descriptors is no reason to stay. */
export const systemClock: Clock = {
  now,
  schedule(run, delayMs) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
