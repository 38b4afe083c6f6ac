import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { GrpcFdError } from '#src/errors.js';
import { trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

/** A copy of the package that contains the loader only. */
function packageWithoutAddon(): string {
  const root = temporaryDirectory();
  const built = dirname(dirname(fileURLToPath(import.meta.resolve('grpcfd/socket'))));
  for (const file of [
    'errors.js',
    'error-text.js',
    'native/binding.js',
    'native/fd-lists.js',
    'native/types.js',
  ]) {
    mkdirSync(dirname(join(root, 'dist', file)), { recursive: true });
    cpSync(join(built, file), join(root, 'dist', file));
  }
  writeFileSync(join(root, 'package.json'), '{"type":"module"}');
  return root;
}

test('Without an addon, the error lists the paths that were tried and says how to build it', async () => {
  const root = packageWithoutAddon();
  const broken = join(root, 'native/build/Release/grpcfd.node');
  mkdirSync(dirname(broken), { recursive: true });
  writeFileSync(broken, 'not a library');
  await assert.rejects(import(pathToFileURL(join(root, 'dist/native/binding.js')).href), (error) => {
    assert.ok(error instanceof GrpcFdError);
    assert.equal(error.reason, 'ERR_GRPCFD_ADDON_NOT_LOADED');
    const platform = `${process.platform}-${process.arch}`;
    assert.match(error.message, new RegExp(`on ${platform}(-musl)?, Node.js ${process.version}`));
    assert.match(error.message, new RegExp(`prebuilds/${platform}(-musl)?/grpcfd.node: Cannot find module`));
    assert.match(error.message, /native\/build\/Release\/grpcfd\.node: .*(invalid ELF|file too short)/);
    assert.match(error.message, /npm ci in a clone/);
    assert.ok(error.cause instanceof AggregateError);
    assert.equal(error.cause.errors.length, 2);
    return true;
  });
});
