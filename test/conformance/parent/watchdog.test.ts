// That the parent survives what a script does to its process, and cuts a finding down.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { defer, trackDescriptors } from '../../support/fd-table.js';
import { temporaryDirectory } from '../../support/temporary.js';
import { generate } from '../generate/generate.js';
import type { BothEndsScript } from '../script.js';
import { minimise } from './minimise.js';
import { type Result, WorkerProcess } from './worker-process.js';

trackDescriptors();

function worker(name: string): WorkerProcess {
  const program = fileURLToPath(new URL(`../fixtures/${name}.js`, import.meta.url));
  const process = new WorkerProcess(temporaryDirectory(), program);
  defer(() => process.stop());
  return process;
}

test('a process that freezes is killed and named', async () => {
  const process = worker('frozen-worker');
  assert.deepEqual(await process.compare(generate(1), 1_000), { kind: 'freeze', library: 'ours' });
  assert.equal(process.usable, false);
});

test('a process that crashes is named', async () => {
  const process = worker('crashing-worker');
  assert.deepEqual(await process.compare(generate(1), 10_000), {
    kind: 'crash',
    library: 'stock',
    how: 'SIGSEGV',
  });
});

test('the same seed gives the same script', () => {
  for (let seed = 1; seed < 100; seed++) assert.deepEqual(generate(seed), generate(seed));
});

test('a finding is cut down to the steps that it needs', async () => {
  const call = { kind: 'unary', requests: [1], start: 0 } as const;
  const script: BothEndsScript = {
    family: 'both ends',
    security: 'plaintext',
    handlers: [{ replies: [1], finish: 'ok', when: 0, deaf: true }],
    deeds: [
      { do: 'call', plan: call },
      { do: 'settle' },
      { do: 'forceShutdown' },
      { do: 'turns', count: 1 },
      { do: 'call', plan: call },
      { do: 'restart' },
    ],
  };
  // It takes a call that follows a shutdown.
  const attempt = async (candidate: typeof script): Promise<Result> => {
    const names = candidate.deeds.map((deed) => deed.do);
    const found =
      names.lastIndexOf('call') > names.indexOf('forceShutdown') && names.includes('forceShutdown');
    return found ? { kind: 'freeze', library: 'ours' } : { kind: 'same', racy: false };
  };
  const [smallest] = await minimise(script, { kind: 'freeze', library: 'ours' }, (candidate) =>
    attempt(candidate as BothEndsScript),
  );
  assert.deepEqual(smallest, {
    ...script,
    handlers: [],
    deeds: [{ do: 'forceShutdown' }, { do: 'call', plan: call }],
  });
});
