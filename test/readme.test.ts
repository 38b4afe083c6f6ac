import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { DEFAULT_LIMITS } from '#src/inbox/limits.js';
import { trackDescriptors } from './support/fd-table.js';
import { Page, textOf } from './support/page.js';

trackDescriptors();

test('the first example of the README runs as it stands', async () => {
  const page = new Page('README.md');
  assert.deepEqual(page.files, ['store.proto', 'server.mjs', 'client.mjs']);
  const server = page.start(process.execPath, 'server.mjs');
  const [line] = await Promise.race([once(server.stdout, 'data'), once(server, 'close')]);
  assert.equal(String(line), 'the server listens\n');
  const { code, output } = await page.run(process.execPath, 'client.mjs');
  assert.equal(output, page.blockAfter('client.mjs', 'text'));
  assert.equal(code, 0);
});

test('the table of options has the defaults of the code', () => {
  const readme = textOf('README.md');
  for (const [name, value] of Object.entries(DEFAULT_LIMITS)) {
    const [, shown] = new RegExp(`^\\| \`${name}\` \\| ([\\d ]+) \\|`, 'm').exec(readme) ?? [];
    assert.equal(Number(shown?.replace(' ', '')), value, name);
  }
});

test('every reason of GrpcFdError has a heading in docs/errors.md, and there is no other', () => {
  const reasons = [...textOf('src/errors.ts').matchAll(/^ {2}(ERR_GRPCFD_\w+):/gm)].map(
    ([, reason]) => reason,
  );
  const headings = [...textOf('docs/errors.md').matchAll(/^## (ERR_GRPCFD_\w+)$/gm)].map(
    ([, reason]) => reason,
  );
  assert.deepEqual(headings.sort(), reasons.sort());
});

test('docs/troubleshooting.md has every reason of GrpcFdError, every channel, and every reason why one is closed or refused', () => {
  const page = textOf('docs/troubleshooting.md');
  const named = (path: string, pattern: RegExp) =>
    [...textOf(path).matchAll(pattern)].map(([, name = '']) => name);
  const names = [
    ...named('src/errors.ts', /^ {2}(ERR_GRPCFD_\w+):/gm),
    ...named('src/grpc/diagnostics.ts', /channel\('([\w:]+)'\)/g),
    ...named('src/inbox/inbox-watcher.ts', /^ {2}\| '([\w ]+)'/gm),
    ...named('src/grpc/refusal.ts', /^ {2}\| '([\w -]+)'/gm),
    ...named('src/grpc/totals.ts', /^ {2}(evicted\w+|expired\w+|closed\w+|superseded\w+): 0,$/gm),
  ];
  assert.ok(names.length > 60, `the search found too few: ${names.length}`);
  assert.deepEqual(
    names.filter((name) => !page.includes(`\`${name}\``) && name !== 'evictedConnections'),
    [],
  );
});
