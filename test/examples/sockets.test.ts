/** The examples `zero-downtime` and `netns`, by the commands of their READMEs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trackDescriptors } from '../support/fd-table.js';
import { textOf } from '../support/page.js';
import { runInRoot } from '../support/run-command.js';

trackDescriptors();

/** The command of a README, and what it prints. */
function shownIn(example: string): { command: string; output: string } {
  const readme = textOf(`examples/${example}/README.md`);
  const [, command = ''] = /```sh\n(.*)\n```/.exec(readme) ?? [];
  const [, output = ''] = /```text\n(.*?)```/s.exec(readme) ?? [];
  return { command, output };
}

test('The zero-downtime example prints what its README shows, with other counts: no request fails', async () => {
  const { command, output } = shownIn('zero-downtime');
  const withoutCounts = (text: string) => text.replaceAll(/answered \d{4,} requests/g, 'answered … requests');
  assert.equal(withoutCounts(await runInRoot(command)), withoutCounts(output));
});

test('The netns example prints what its README shows, or says why it cannot', async (t) => {
  const { command, output } = shownIn('netns');
  const printed = await runInRoot(command);
  const [reason] =
    /(no network namespace can be made here|the loopback interface stays down): ./.exec(printed) ?? [];
  if (reason === undefined) assert.equal(printed, output);
  else t.skip(printed);
});

test('The netns example says why it stops where no namespace can be made', async () => {
  const { command } = shownIn('netns');
  assert.match(
    await runInRoot(command, { PATH: '/nowhere' }),
    /^no network namespace can be made here: spawnSync unshare ENOENT\n$/,
  );
});
