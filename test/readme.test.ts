import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);
const text = (path: string) => readFileSync(new URL(path, root), 'utf8');

/** Code without its indentation and its imports, so that an excerpt can be compared. */
function code(source: string): string {
  return source
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('import '))
    .join('\n');
}

test('The programs that the README shows are the ones in examples/readme.ts', () => {
  const shown = [...text('README.md').matchAll(/```ts\n(.*?)```/gs)].map(([, block]) => code(block ?? ''));
  const tested = [...text('examples/readme.ts').matchAll(/\/\/ readme: \w+\n(.*?)\/\/ readme: end/gs)].map(
    ([, part]) => code(part ?? ''),
  );
  assert.deepEqual(shown, tested);
});

test('The programs that the README shows work', () => {
  const program = fileURLToPath(new URL('build/examples/readme.js', root));
  const { status, stdout, stderr } = spawnSync(process.execPath, [program], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /put: the server read \d+ bytes/);
  assert.match(stdout, /convert: the server wrote [1-9]\d* bytes/);
  assert.match(stdout, /raw: received descriptor \d+/);
  assert.equal(stderr, '');
});

test('docs/errors.md has a heading for every reason of GrpcFdError, and no other heading', () => {
  const reasons = [...text('src/errors.ts').matchAll(/^ {2}(ERR_GRPCFD_\w+):/gm)].map(([, reason]) => reason);
  const headings = [...text('docs/errors.md').matchAll(/^## (ERR_GRPCFD_\w+)$/gm)].map(
    ([, reason]) => reason,
  );
  assert.deepEqual(headings.sort(), reasons.sort());
});
