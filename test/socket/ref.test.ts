import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { runFixture, startFixture } from '../support/child.js';

/** An idle process that has not exited after this time stays. */
const OBSERVED_MS = 300;

async function assertExits(expected: boolean, args: string[]): Promise<void> {
  const child = startFixture('fixtures/ref.js', import.meta.url, args);
  const ended = once(child, 'exit');
  if (child.stdout) await once(child.stdout, 'data');
  if (!expected) {
    await delay(OBSERVED_MS);
    assert.equal(child.exitCode, null);
    child.kill();
  }
  const [code, signal] = await ended;
  assert.deepEqual([code, signal], expected ? [0, null] : [null, 'SIGTERM']);
}

const cases: [expected: boolean, ...args: string[]][] = [
  [false, 'socket', 'read'],
  [true, 'socket', 'read', 'unref'],
  [true, 'socket', 'unref', 'read'],
  [false, 'socket', 'read', 'unref', 'ref'],
  [true, 'socket'],
  [true, 'socket', 'full'],
  [false, 'socket', 'full', 'read'],
  [false, 'socket', 'unref', 'write'],
  [false, 'listener'],
  [true, 'listener', 'unref'],
  [false, 'listener', 'unref', 'ref'],
];

for (const [expected, ...args] of cases) {
  test(`A process ${expected ? 'exits' : 'stays'} after these steps: ${args.join(', ')}`, () =>
    assertExits(expected, args));
}

test('A running write on an unreferenced socket is finished before the process exits', async () => {
  const { code, stderr } = await runFixture('fixtures/ref.js', import.meta.url, [
    'socket',
    'unref',
    'write',
    'drain',
  ]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
});
