// A second @grpc/grpc-js in one process: a framework's own, or one that `npm link` brings. Its classes are other ones.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { once, runAnyway } from './environment.mjs';
import { project } from './projects.mjs';

function projectWithTwo() {
  return once('two copies', async () => {
    const directory = await project('two-copies', { files: ['two-copies.cjs'] });
    cpSync(
      join(directory, 'node_modules/@grpc/grpc-js'),
      join(directory, 'node_modules/grpcfd/node_modules/@grpc/grpc-js'),
      { recursive: true },
    );
    return directory;
  });
}

const USES = {
  'server credentials of the package on a server of the other copy': 'server',
  'channel credentials of the package on a client of the other copy': 'channel',
  'options of call credentials on a client with stock credentials': 'call',
};

export const rows = Object.entries(USES).map(([environment, use]) => ({
  subject: 'two copies',
  environment,
  short: true,
  async work() {
    const { stdout, stderr, code, signal } = await runAnyway(process.execPath, ['two-copies.cjs', use], {
      cwd: await projectWithTwo(),
    });
    assert.equal(signal, null, 'it hangs');
    assert.match(stdout + stderr, /two copies of @grpc\/grpc-js/, `${code}: ${stdout}${stderr}`);
    return 'an error says "two copies of @grpc/grpc-js"';
  },
}));
