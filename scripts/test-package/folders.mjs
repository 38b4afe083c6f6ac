// Folders whose names have characters that patterns and URLs take for something else, and a folder that is removed while it is used.
import assert from 'node:assert/strict';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fixtures, once } from './environment.mjs';
import { exchange, rowForEachDoor } from './exchange.mjs';
import { plainProject } from './projects.mjs';

const NAME = 'a folder (of ours) #1 50%25 é';

function projectIn(name) {
  return once(`folder ${name}`, async () => {
    const plain = await plainProject();
    const directory = join(dirname(plain), name);
    rmSync(directory, { recursive: true, force: true });
    cpSync(plain, directory, { recursive: true, verbatimSymlinks: true });
    return directory;
  });
}

/** A server may change its root, use up its descriptors, or be replaced on the disk after the import. Nothing is left to be read then. */
async function callAfterRemoval() {
  const cwd = await projectIn('removed');
  cpSync(join(fixtures, 'after-removal.cjs'), join(cwd, 'after-removal.cjs'));
  await exchange(process.execPath, ['after-removal.cjs'], { cwd });
  assert.equal(existsSync(join(cwd, 'node_modules')), false);
  return 'calls need no file after the import';
}

export const rows = [
  ...rowForEachDoor({
    subject: 'folder',
    environment: NAME,
    short: true,
    async work(file) {
      await exchange(process.execPath, [file], { cwd: await projectIn(NAME) });
      return 'a path with blanks, brackets, # and %';
    },
  }),
  { subject: 'folder', environment: 'removed after the import', short: true, work: callAfterRemoval },
];
