/**
 * Timers, as they were when this module was loaded. Test runners replace the global ones (`vi.useFakeTimers()`,
 * `jest.useFakeTimers()`, `mock.timers` of node:test), and then a timer runs only when the test tells it to. Connections must go on all
 * the same, as those of grpc-js and of Node's HTTP/2 do. So no other file in `src/` uses a timer or a clock of Node, and
 * `test/timers.test.ts` holds that.
 *
 * The timers come from modules and not from the global object, because the fake ones may have been installed first. Findings with Node
 * 20, 22, 24 and 26 (the runners with Node 20 only):
 *
 * - vitest 4 and jest 30 replace global functions, and do not change these modules. The timers here are real then, whether the fake
 *   ones were installed before the import or after it. `nextTick` is an exception: jest gives the code that it runs a `process` object of
 *   its own, also through `node:process`. If jest has replaced `nextTick` before the import, the one here is fake. grpc-js does not work
 *   then, either.
 * - `@sinonjs/fake-timers` alone and `mock.timers` also replace the functions of `node:timers` and `node:timers/promises`. The timers
 *   here are real if that happens after the import, and fake if it happens before: import this package first.
 * - `@sinonjs/fake-timers` also replaces `performance.now` of `node:perf_hooks`, but not that of its prototype.
 *
 * They are constants and not a re-export, because `syncBuiltinESMExports()` would change a re-export.
 */

import process from 'node:process';
import * as timers from 'node:timers';
import * as promises from 'node:timers/promises';

export const { setTimeout, clearTimeout, setImmediate } = timers;

/** `setTimeout` of `node:timers/promises`. */
export const delay = promises.setTimeout;

export const { nextTick } = process;

let clock: (() => number) | undefined;

/** Milliseconds that never go backwards. */
export function now(): number {
  // To import the module would take half a millisecond of every start.
  clock ??= openClock();
  return clock();
}

function openClock(): () => number {
  const { performance } = process.getBuiltinModule('node:perf_hooks');
  return Object.getPrototypeOf(performance).now.bind(performance);
}
