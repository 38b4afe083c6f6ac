// Runs the tests on every supported Node.js line and on the oldest and the newest supported @grpc/grpc-js. Their
// binaries and packages come from the npm registry, into build/matrix.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODES = ['20.19.0', '22', '24', '26'];
const GRPCS = ['1.13.0', 'latest'];

const root = fileURLToPath(new URL('..', import.meta.url));
const matrix = join(root, 'build/matrix');
const arch = process.arch === 'arm64' ? 'arm64' : 'x64';

function run(command, args, options) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (error) throw error;
  return status === 0;
}

/** A directory with nothing but these packages, installed once. */
function install(name, dependencies) {
  const directory = join(matrix, name);
  if (!existsSync(join(directory, 'node_modules'))) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ private: true, dependencies }));
    const args = ['install', '--ignore-scripts', '--no-package-lock', '--no-audit', '--no-fund', '--silent'];
    if (!run('npm', args, { cwd: directory })) throw new Error(`cannot install ${name}`);
  }
  return join(directory, 'node_modules');
}

/** A copy of what the tests need, with another grpc-js in its node_modules. */
function workspace(grpcVersion) {
  const directory = join(matrix, `workspace-${grpcVersion}`);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(join(directory, 'build'), { recursive: true });
  const copied = [
    'package.json',
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'docs',
    'src',
    'dist',
    'scripts',
    'examples',
    'interop',
    'test',
    'build/interop',
    'build/test',
    'build/examples',
  ];
  for (const path of [...copied, 'native']) {
    cpSync(join(root, path), join(directory, path), { recursive: true });
  }
  const own = install(`grpc-${grpcVersion}`, {
    '@grpc/grpc-js': grpcVersion,
    '@grpc/proto-loader': '*',
    selfsigned: '*',
    '@sinonjs/fake-timers': '*',
    typescript: '*',
    '@types/node': '20',
  });
  symlinkSync(own, join(directory, 'node_modules'));
  return directory;
}

const results = [];
for (const grpcVersion of GRPCS) {
  const directory = workspace(grpcVersion);
  for (const version of NODES) {
    const packages = install(`node-${version}`, { [`node-linux-${arch}`]: version });
    const node = join(packages, `node-linux-${arch}`, 'bin/node');
    console.log(`\n=== Node.js ${version}, @grpc/grpc-js ${grpcVersion}`);
    const ok = run(node, [join(directory, 'scripts/run-tests.mjs'), ...process.argv.slice(2)], {
      cwd: directory,
    });
    results.push({ node: version, 'grpc-js': grpcVersion, ok });
  }
}
console.table(results);
process.exit(results.every(({ ok }) => ok) ? 0 : 1);
