import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { trackDescriptors } from '../support/fd-table.js';

// Workers share the descriptor table with this thread, so the hook notices descriptors that they leave open.
trackDescriptors();

function start(scenario: string): Worker {
  return new Worker(new URL('fixtures/worker-with-sockets.js', import.meta.url), { workerData: scenario });
}

for (const scenario of [
  'idle',
  'queued',
  'undelivered',
  'guarded',
  'stuckInListener',
  'busy',
  'bridged',
  'bridgedBlocked',
  'beforeNodeHasIt',
  'afterNodeHasIt',
]) {
  test(`Terminating a worker closes all its descriptors in the scenario ${scenario}`, async () => {
    const worker = start(scenario);
    assert.deepEqual(await once(worker, 'message'), ['ready']);
    await worker.terminate();
  });
}

test('Terminating busy workers at any moment closes all their descriptors', async () => {
  for (let round = 0; round < 10; round++) {
    const workers = ['busy', 'bridged'].map(start);
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
});

test('A worker that exits in a listener leaves no descriptor open', async () => {
  const worker = start('exitInListener');
  await once(worker, 'exit');
});

test('A worker that exits when the kernel has not taken what Node wrote to the socket itself leaves the process alive', async () => {
  const worker = start('exitBlocked');
  await once(worker, 'exit');
});

test('A worker that throws in a listener reports the error and leaves no descriptor open', async () => {
  const worker = start('throwInListener');
  const [error] = (await once(worker, 'error')) as [Error];
  assert.equal(error.message, 'from a listener in a worker');
});
