import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { assertSameDescriptors, descriptorTable } from './fd-table.js';

/** Runs one test in a process of its own, with the hook. */
function runWithHook(body: string): { status: number | null; stdout: string } {
  const hook = JSON.stringify(new URL('fd-table.js', import.meta.url).href);
  const program = `
    import { test } from 'node:test';
    import { closeSync, openSync } from 'node:fs';
    import { trackDescriptors } from ${hook};
    trackDescriptors();
    test('subject', () => { ${body} });`;
  return spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '--eval', program], {
    encoding: 'utf8',
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  });
}

test('A test that leaks a descriptor fails with a message that names the leak', () => {
  const { status, stdout } = runWithHook("openSync('/dev/zero', 'r')");
  assert.equal(status, 1);
  assert.match(stdout, /leaked: \d+ -> \/dev\/zero/);
});

test('A test that closes its descriptors passes', () => {
  const { status, stdout } = runWithHook("closeSync(openSync('/dev/zero', 'r'))");
  assert.equal(status, 0, stdout);
});

test('A test that closes a descriptor of others fails', async () => {
  const fd = openSync('/dev/zero', 'r');
  const before = descriptorTable();
  closeSync(fd);
  await assert.rejects(assertSameDescriptors(before, 0), /not the test's to close: \d+ -> \/dev\/zero/);
});

test('The check waits for descriptors that are closed a moment later', async () => {
  const before = descriptorTable();
  const fd = openSync('/dev/zero', 'r');
  setImmediate(closeSync, fd);
  await assertSameDescriptors(before);
});
