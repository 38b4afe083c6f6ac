import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

const root = fileURLToPath(new URL('../../..', import.meta.url));
const { version: ownVersion } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const target = `linux-${process.arch}-glibc`;

/** A copy of the package that contains the loader only. */
function packageWithoutAddon(version = ownVersion): string {
  const copy = temporaryDirectory();
  writeFileSync(join(copy, 'package.json'), JSON.stringify({ version }));
  for (const file of ['package.json', 'errors.js', 'error-text.js', 'native/load.js']) {
    mkdirSync(dirname(join(copy, 'dist', file)), { recursive: true });
    cpSync(join(root, 'dist', file), join(copy, 'dist', file));
  }
  return copy;
}

const run = promisify(execFile);

const LOAD = `
  try {
    require('./dist/native/load.js').loadAddon();
    console.log('loaded');
  } catch (error) {
    console.log(error.reason, error.cause?.errors?.length, error.message);
  }`;

test('without an addon, the error lists the files that were tried, what each was made for, and how to build one', async () => {
  const copy = packageWithoutAddon();
  const broken = join(copy, 'native/build/Release/grpcfd.node');
  mkdirSync(dirname(broken), { recursive: true });
  writeFileSync(broken, 'not a library');
  const { stdout } = await run(process.execPath, ['-e', LOAD], { cwd: copy });
  assert.match(stdout, /^ERR_GRPCFD_ADDON_NOT_LOADED 2 /);
  assert.match(stdout, new RegExp(`on linux-${process.arch}, Node.js ${process.version}`));
  assert.match(stdout, /native\/build\/Release\/grpcfd\.node, made for .*: .*(invalid ELF|file too short)/);
  assert.match(
    stdout,
    new RegExp(`prebuilds/${target}/grpcfd.node, made for Linux .* glibc 2.28 .*: Cannot find module`),
  );
  assert.match(stdout, /node node_modules\/grpcfd\/native\/build\.mjs/);
  assert.match(stdout, /mark grpcfd and @grpc\/grpc-js as external/);
});

test('a local build is preferred to a prebuilt addon', async () => {
  const copy = packageWithoutAddon();
  const addon = join(root, 'native/build/Release/grpcfd.node');
  for (const path of [`prebuilds/${target}`, 'native/build/Release']) {
    mkdirSync(join(copy, path), { recursive: true });
    cpSync(addon, join(copy, path, 'grpcfd.node'));
  }
  const mapped = `console.log(require('node:fs').readFileSync('/proc/self/maps', 'utf8'))`;
  const script = `require('./dist/native/load.js').loadAddon(); ${mapped}`;
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: copy });
  assert.match(stdout, /native\/build\/Release\/grpcfd\.node/);
  assert.doesNotMatch(stdout, /prebuilds/);
});

test('a prebuilt addon is loaded where no local build is', async () => {
  const copy = packageWithoutAddon();
  mkdirSync(join(copy, `prebuilds/${target}`), { recursive: true });
  cpSync(join(root, 'native/build/Release/grpcfd.node'), join(copy, `prebuilds/${target}/grpcfd.node`));
  assert.match((await run(process.execPath, ['-e', LOAD], { cwd: copy })).stdout, /^loaded/);
});

test('GRPCFD_ADDON names the file that is loaded, and no other is tried', async () => {
  const copy = packageWithoutAddon();
  const path = join(copy, 'beside-the-bundle.node');
  const env = { ...process.env, GRPCFD_ADDON: path };
  const missing = await run(process.execPath, ['-e', LOAD], { cwd: copy, env });
  assert.match(
    missing.stdout,
    /^ERR_GRPCFD_ADDON_NOT_LOADED 1 [\s\S]*beside-the-bundle\.node, named by the environment/,
  );
  cpSync(join(root, 'native/build/Release/grpcfd.node'), path);
  assert.match((await run(process.execPath, ['-e', LOAD], { cwd: copy, env })).stdout, /^loaded/);
});

test('an addon of another version of the package is refused', async () => {
  const copy = packageWithoutAddon('9.8.7');
  const path = join(copy, 'old.node');
  cpSync(join(root, 'native/build/Release/grpcfd.node'), path);
  const env = { ...process.env, GRPCFD_ADDON: path };
  const { stdout } = await run(process.execPath, ['-e', LOAD], { cwd: copy, env });
  assert.match(stdout, /^ERR_GRPCFD_ADDON_NOT_LOADED 1 [\s\S]*not the addon of grpcfd 9\.8\.7, but of \d/);
});

test('GRPCFD_ADDON is a path from the working directory, also without a folder', async () => {
  const copy = packageWithoutAddon();
  cpSync(join(root, 'native/build/Release/grpcfd.node'), join(copy, 'beside.node'));
  const env = { ...process.env, GRPCFD_ADDON: 'beside.node' };
  assert.match((await run(process.execPath, ['-e', LOAD], { cwd: copy, env })).stdout, /^loaded/);
});

test('where the process forbids addons, the error says how to allow them, and advises nothing else', async () => {
  const copy = packageWithoutAddon();
  const path = join(copy, 'native/build/Release/grpcfd.node');
  mkdirSync(dirname(path), { recursive: true });
  cpSync(join(root, 'native/build/Release/grpcfd.node'), path);
  for (const chosen of ['', path]) {
    const env = { ...process.env, GRPCFD_ADDON: chosen };
    const { stdout } = await run(process.execPath, ['--no-addons', '-e', LOAD], { cwd: copy, env });
    assert.match(stdout, /^ERR_GRPCFD_ADDON_NOT_LOADED [\s\S]*forbids addons.* --allow-addons/);
    assert.doesNotMatch(stdout, /external|build\.mjs/);
  }
});

test('a Node.js that is too old is refused with a clear text', async () => {
  const { stdout } = await run(process.execPath, ['-e', `delete process.getBuiltinModule;${LOAD}`], {
    cwd: packageWithoutAddon(),
  });
  assert.match(
    stdout,
    /^ERR_GRPCFD_ADDON_NOT_LOADED .*needs Node\.js 20\.19, or 22\.12 or later\. This is v/,
  );
});

for (const [situation, maps] of [
  ['where /proc is not mounted', `readFileSync('/none')`],
  ['where a test has mocked node:fs', 'undefined'],
  [
    'where an update has deleted its file',
    `readFileSync(path, ...rest).replaceAll(/\\/libc(-2\\.\\d+\\.so|\\.so\\.6)$/gm, '$& (deleted)')`,
  ],
]) {
  test(`the C library is found ${situation}`, async () => {
    const copy = packageWithoutAddon();
    mkdirSync(join(copy, `prebuilds/${target}`), { recursive: true });
    cpSync(join(root, 'native/build/Release/grpcfd.node'), join(copy, `prebuilds/${target}/grpcfd.node`));
    const replaceMaps = `
      const fs = require('node:fs');
      const { readFileSync } = fs;
      fs.readFileSync = (path, ...rest) => path === '/proc/self/maps' ? ${maps} : readFileSync(path, ...rest);`;
    assert.match((await run(process.execPath, ['-e', replaceMaps + LOAD], { cwd: copy })).stdout, /^loaded/);
  });
}

for (const [name, text] of [
  ['bun', 'Bun'],
  ['deno', 'Deno'],
]) {
  test(`${text} is refused with a clear text`, async () => {
    const script = `Object.defineProperty(process.versions, '${name}', { value: '1.2.0' });${LOAD}`;
    const { stdout } = await run(process.execPath, ['-e', script], { cwd: packageWithoutAddon() });
    assert.match(
      stdout,
      new RegExp(`^ERR_GRPCFD_ADDON_NOT_LOADED .*needs Node.js. It does not run in ${text}`),
    );
  });
}
