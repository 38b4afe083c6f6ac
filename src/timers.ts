/**
 * Timers, as they were when this module was loaded. Test runners replace the global ones (`vi.useFakeTimers()`,
 * `jest.useFakeTimers()`, `mock.timers` of node:test), and then no timer runs until the test says so. A connection has to go on all the
 * same: grpc-js and Node's HTTP/2 do. So nothing else in `src/` uses a timer or a clock of Node's; `test/timers.test.ts` looks.
 *
 * They come from modules rather than from the global object, because the fakes may have been there first. What was found, with Node
 * 20, 22, 24 and 26, the runners with Node 20 only:
 *
 * - vitest 4 and jest 30 replace what is global, and leave these modules alone. What is here is real, whether they were told to
 *   before the import or after it. `nextTick` is the exception: jest gives the code that it runs a `process` of its own, by
 *   `node:process` as well. If jest has replaced its `nextTick` before the import, that is what is here. grpc-js stands still then, too.
 * - `@sinonjs/fake-timers` by itself, and `mock.timers`, also replace the functions of `node:timers` and `node:timers/promises`. What
 *   is here is real if they do so after the import. If they do so before it, then what is here is fake: import this package first.
 * - `@sinonjs/fake-timers` also replaces `performance.now` in `node:perf_hooks`, but not that of its prototype.
 *
 * Constants, and not a re-export, so that `syncBuiltinESMExports()` does not reach them.
 */

import { performance } from 'node:perf_hooks';
import process from 'node:process';
import * as timers from 'node:timers';
import * as promises from 'node:timers/promises';

export const { setTimeout, clearTimeout, setImmediate } = timers;

/** `setTimeout` of `node:timers/promises`. */
export const delay = promises.setTimeout;

export const { nextTick } = process;

/** Milliseconds that never go backwards. */
export const now: () => number = Object.getPrototypeOf(performance).now.bind(performance);
