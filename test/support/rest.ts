import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** Waits until the event loop rests. Threads of Node may wake it up for a while. */
export async function comesToRest(): Promise<void> {
  for (let tries = 0; ; tries++) {
    const turnsBefore = turnsOfLoop();
    const cpuBefore = process.cpuUsage();
    await delay(50);
    // What libuv does not know any more it handles without a turn.
    const { user, system } = process.cpuUsage(cpuBefore);
    if (turnsOfLoop() - turnsBefore <= 20 && user + system < 25_000) return;
    assert.ok(tries < 100, 'the event loop turns all the time');
  }
}

function turnsOfLoop(): number {
  return performance.nodeTiming.uvMetricsInfo.loopCount;
}
