// Folders whose names have characters that patterns and URLs take for something else.
import { cpSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { once } from './environment.mjs';
import { exchange, rowForEachDoor } from './exchange.mjs';
import { plainProject } from './projects.mjs';

const NAME = 'a folder (of ours) #1 50%25 é';

function projectInFolder() {
  return once('folder', async () => {
    const plain = await plainProject();
    const directory = join(dirname(plain), NAME);
    rmSync(directory, { recursive: true, force: true });
    cpSync(plain, directory, { recursive: true, verbatimSymlinks: true });
    return directory;
  });
}

export const rows = rowForEachDoor({
  subject: 'folder',
  environment: NAME,
  short: true,
  async work(file) {
    await exchange(process.execPath, [file], { cwd: await projectInFolder() });
    return 'a path with blanks, brackets, # and %';
  },
});
