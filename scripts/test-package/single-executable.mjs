// Single executables: the bundle of esbuild in a copy of Node.js. They have no files beside them, so the addon is named by a variable.
import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addonIn, BUILDS, copyAway, projectWith } from './bundlers.mjs';
import { run, runAnyway } from './environment.mjs';
import { assertExchanged } from './exchange.mjs';
import { directoryWith, nodeBinary, tools } from './projects.mjs';

/** By which postject finds the place in the copy. Node.js documents it. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

async function singleExecutable(version) {
  const project = await projectWith('esbuild');
  const main = join(
    project,
    'out-single',
    await BUILDS.esbuild.bundled(project, 'exchange.cjs', 'out-single'),
  );
  const directory = directoryWith(`single-executable-${version}`);
  const node = await nodeBinary(version);
  const settings = { main, output: 'exchange.blob', disableExperimentalSEAWarning: true };
  writeFileSync(join(directory, 'sea.json'), JSON.stringify(settings));
  await run(node.file, ['--experimental-sea-config', 'sea.json'], { cwd: directory });
  cpSync(node.file, join(directory, 'exchange'));
  const postject = join(await tools('postject', ['postject']), 'postject/dist/cli.js');
  const args = ['exchange', 'NODE_SEA_BLOB', 'exchange.blob', '--sentinel-fuse', FUSE];
  await run(process.execPath, [postject, ...args], { cwd: directory });

  const away = copyAway(directory);
  try {
    const executable = join(away.directory, 'exchange');
    assertExchanged(
      await run(executable, [], { cwd: away.directory, env: { GRPCFD_ADDON: addonIn(project) } }),
    );
    const { code, stderr } = await runAnyway(executable, [], { cwd: away.directory });
    assert.equal(code, 1);
    assert.match(stderr, /ERR_GRPCFD_ADDON_NOT_LOADED/);
    return `Node ${node.version}, with GRPCFD_ADDON. Without it: ERR_GRPCFD_ADDON_NOT_LOADED`;
  } finally {
    away.remove();
  }
}

export const rows = ['22', '24'].map((version) => ({
  subject: 'bundler',
  environment: `single executable of Node ${version}`,
  work: () => singleExecutable(version),
}));
