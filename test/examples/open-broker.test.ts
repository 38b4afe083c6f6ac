/** The example `open-broker`, by the command of its README, and its list of what is allowed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FileKind } from 'grpcfd';
import { openAllowed } from '../../examples/open-broker/allow-list.js';
import { startFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { textOf } from '../support/page.js';
import { runInRoot } from '../support/run-command.js';
import { withoutEnvironment } from '../support/sanitizers.js';
import { tree } from '../support/tree.js';

trackDescriptors();

const README = textOf('examples/open-broker/README.md');
const shown = /```text\n(.*?)```/s.exec(README)?.[1];
const signal = new AbortController().signal;

test('The open-broker example prints what its README shows', { skip: withoutEnvironment }, async () => {
  const output = await runInRoot(/```sh\n(.*)\n```/.exec(README)?.[1]);
  const isRoot = process.getuid?.() === 0;
  assert.equal(output, isRoot ? shown : 'only root can start a client that has no rights\n');
});

test('The open-broker example refuses what a client has mounted at an allowed path in a namespace of its own', async (t) => {
  const path = realpathSync(tree());
  writeFileSync(join(path, 'file'), 'inside');
  writeFileSync(join(path, '..', 'secret'), 'the secret');
  const script = 'mount --bind "$1/../secret" "$1/file" && echo mounted && exec sleep 60';
  const client = spawn('unshare', ['-m', 'sh', '-c', script, 'sh', path], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const exited = once(client, 'exit');
  const mounted = await Promise.race([once(client.stdout, 'data'), exited.then(() => undefined)]);
  if (mounted === undefined) return t.skip('this process may not make a mount namespace');
  const permissions = [{ path: `${path}/`, kind: 'file' as FileKind, to: 'read' as const }];
  await assert.rejects(openAllowed(`/proc/${client.pid}/root${path}/file`, permissions, signal), { code: 7 });
  client.kill('SIGKILL');
  await exited;
});

test('The open-broker example gives what is allowed, and nothing else, while links are swapped', async () => {
  const path = realpathSync(tree());
  const outside = join(path, '..', 'elsewhere');
  mkdirSync(outside);
  writeFileSync(join(path, 'file'), 'inside');
  writeFileSync(join(path, '..', 'file'), 'outside');
  const permissions = [{ path: `${path}/`, kind: 'file' as FileKind, to: 'read' as const }];
  const swapping = startFixture('../descriptor/fixtures/swapping.js', import.meta.url, [path, outside]);
  defer(async () => {
    const exit = once(swapping, 'exit');
    swapping.kill();
    await exit;
  });
  await once(swapping.stdout ?? assert.fail(), 'data');
  const seen: Record<string, number> = {};
  for (let round = 0; round < 20_000 && !(round > 500 && seen['inside'] && seen['7']); round++) {
    const outcome = await openAllowed(join(path, 'swapped'), permissions, signal).then(
      async (file) => {
        const content = await file.readFile('utf8');
        await file.close();
        return content;
      },
      ({ code }) => String(code),
    );
    seen[outcome] = (seen[outcome] ?? 0) + 1;
  }
  const { inside = 0, 7: denied = 0, ...rest } = seen;
  assert.deepEqual(rest, {});
  assert.ok(inside > 0 && denied > 0, JSON.stringify(seen));
});
