// Builds native/build/Release/grpcfd.node with node-gyp. The Node headers that lie beside this
// node binary are used when they are there, so that the build needs no download.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const nativeDirectory = fileURLToPath(new URL('../native', import.meta.url));
const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
const prefix = dirname(dirname(process.execPath));
const headers = existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];

const { status } = spawnSync(process.execPath, [nodeGyp, 'rebuild', '--release', ...headers], {
  cwd: nativeDirectory,
  stdio: 'inherit',
});
process.exit(status ?? 1);
