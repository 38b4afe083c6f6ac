// jest and vitest, without any setting.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { run } from './environment.mjs';
import { nodeBinary, project, versionOf } from './projects.mjs';

async function jest(version) {
  const directory = await project(`jest-${version}`, {
    files: ['exchange.cjs', 'exchange.test.js'],
    dependencies: [`jest@${version}`],
  });
  const modules = join(directory, 'node_modules');
  // jest asks watchman and git for files otherwise.
  const args = [join(modules, 'jest/bin/jest.js'), '--ci', '--no-watchman'];
  const { stdout, stderr } = await run(process.execPath, args, { cwd: directory });
  assert.match(stdout + stderr, /Tests: +1 passed, 1 total/);
  return `jest ${versionOf(modules, 'jest')}`;
}

async function vitest() {
  const directory = await project('vitest', {
    files: ['exchange.mjs', 'exchange.test.mjs'],
    dependencies: ['vitest@latest'],
  });
  const modules = join(directory, 'node_modules');
  const node = await nodeBinary('24');
  const { stdout, stderr } = await run(node.file, [join(modules, 'vitest/vitest.mjs'), 'run'], {
    cwd: directory,
  });
  assert.match(stdout + stderr, /Tests +1 passed \(1\)/);
  return `vitest ${versionOf(modules, 'vitest')}, Node ${node.version}`;
}

export const rows = [
  { subject: 'test runner', environment: 'jest 29, CommonJS', work: () => jest('29') },
  { subject: 'test runner', environment: 'jest 30, CommonJS', short: true, work: () => jest('30') },
  { subject: 'test runner', environment: 'vitest, ES modules', work: vitest },
];
