import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

const root = fileURLToPath(new URL('../../..', import.meta.url));

test('the addon is built in a project whose packages are symbolic links, as those of pnpm are', () => {
  const project = temporaryDirectory();
  const write = (path: string, content: string) => {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), content);
  };
  write('store/grpcfd/package.json', '{ "version": "1.2.3" }');
  write('store/grpcfd/native/one.cc', '');
  for (const folder of ['store/node_modules', 'node_modules'])
    write(`${folder}/node-api-headers/index.js`, `exports.include_dir = 'headers'`);
  cpSync(join(root, 'native/build.mjs'), join(project, 'store/grpcfd/native/build.mjs'));
  symlinkSync('../store/grpcfd', join(project, 'node_modules/grpcfd'));
  for (const flags of [[], ['--preserve-symlinks', '--preserve-symlinks-main']]) {
    const { status, stderr } = spawnSync(
      process.execPath,
      [...flags, 'node_modules/grpcfd/native/build.mjs'],
      {
        cwd: project,
        env: { ...process.env, CXX: 'false' },
        encoding: 'utf8',
      },
    );
    // The compiler was called: this one always fails.
    assert.equal(status, 1);
    assert.match(stderr, /false ended with 1: .*one\.cc/);
  }
});
