/** The benchmarks run, and their JSON has the documented form. No test asserts a time. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { trackDescriptors } from './support/fd-table.js';
import { temporaryDirectory } from './support/temporary.js';

trackDescriptors();

const bench = fileURLToPath(new URL('../bench/main.js', import.meta.url));
// The matrix of Node.js versions copies the tests only.
const skip = existsSync(bench) ? false : 'the benchmarks have not been compiled';

test('npm run bench writes its results as JSON', { skip }, async () => {
  const path = join(temporaryDirectory(), 'results.json');
  const args = [bench, '--only', 'limit', '--rounds', '1', '--json', path];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
  const { machine, results } = JSON.parse(readFileSync(path, 'utf8'));
  assert.equal(machine.node, process.version);
  assert.match(stderr, /^limit: /m);
  assert.ok(results.length > 0);
  for (const result of results) {
    assert.equal(result.bench, 'limit');
    assert.equal(typeof result.case, 'string');
    assert.equal(typeof result.metric, 'string');
    for (const key of ['ours', 'theirs', 'ratio', 'low', 'high']) {
      assert.ok(Number.isFinite(result[key]) && result[key] > 0, `${result.case}: ${key}`);
    }
    assert.equal(result.target === null, result.met === null);
    assert.ok(stdout.includes(result.case), 'the table has it too');
  }
});

for (const wrong of [['--only', 'nothing'], ['--rounds', '0'], ['--rounds', 'many'], ['--unknown']]) {
  test(`npm run bench -- ${wrong.join(' ')} prints the usage`, { skip }, async () => {
    const error = await promisify(execFile)(process.execPath, [bench, ...wrong]).catch((reason) => reason);
    assert.equal(error.code, 2);
    assert.match(error.stderr, /--only NAME/);
  });
}
