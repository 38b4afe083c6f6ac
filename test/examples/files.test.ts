/** The examples `frames`, `log-tap` and `terminal`, by the commands of their READMEs. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { programPath } from '../../examples/handover/handover.js';
import { trackDescriptors } from '../support/fd-table.js';
import { exampleReadme } from '../support/page.js';
import { runInRoot } from '../support/run-command.js';
import { sanitizerEnvironment } from '../support/sanitizers.js';

trackDescriptors();

test('The frames example gets every frame whole, and prints rates as its README shows', async () => {
  const { commands, shown } = exampleReadme('frames');
  const withoutRates = (output: string) => output.replace(/\d+ in|\d+ MiB|: [\d.]+$/gm, '…');
  const output = await runInRoot(commands[0]);
  assert.equal(withoutRates(output), withoutRates(shown));
  assert.match(shown, /400 frames, .*60 frames, /s);
});

test('The log-tap example follows a log until its writer dies, as its README shows', async () => {
  const { commands, shown } = exampleReadme('log-tap');
  assert.equal(await runInRoot(commands[0]), shown);
});

test('The terminal example shows a session, as its README does', {
  skip: !existsSync('/dev/ptmx') && 'there is no /dev/ptmx',
}, async () => {
  const { commands, shown } = exampleReadme('terminal');
  const output = (await runInRoot(commands[0])).replaceAll('\r', '').replace(/\/dev\/pts\/\d+/, '/dev/pts/0');
  assert.equal(output, shown);
});

test('The terminal example says why it stops where it can make no terminal', async () => {
  const child = spawn(process.execPath, [programPath('terminal')], {
    env: { ...sanitizerEnvironment, PATH: '/nowhere' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  assert.equal(code, 0);
  assert.match(
    output,
    /^no terminal can be made here: Node\.js has no ioctl.*perl: spawnSync perl ENOENT; python3: /,
  );
});
