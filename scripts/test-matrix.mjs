// npm run test:matrix [-- --shard K/N] [-- --markdown FILE] [-- PART-OF-A-PATH …]: runs the tests on every supported line of Node.js, each with
// the oldest and the newest supported versions of @grpc/grpc-js. They come from npm's registry, into build/matrix. FILE gets the last results of all
// shards, each with the commit that it is of.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const NODES = ['20.19.0', '22', '24', '26'];
/** By what npm calls it, and what the table does. */
const GRPCS = { '1.13.0': '1.13.0', '~1.13.0': 'newest 1.13', '1.14.0': '1.14.0', latest: 'newest' };
const BUILT = [
  'dist',
  'native/build/Release',
  'build/test',
  'build/interop',
  'build/examples',
  'build/bench',
];
/** What the tests do not need. */
const LEFT_OUT = ['@biomejs/biome', '@arethetypeswrong/cli', 'publint', 'esbuild'];

const { values: options, positionals: filters } = parseArgs({
  options: { shard: { type: 'string', default: '1/1' }, markdown: { type: 'string' } },
  allowPositionals: true,
});
const [shard, shards] = options.shard.split('/').map(Number);
if (!(shard >= 1 && shard <= shards)) throw new Error(`--shard is K/N, not ${options.shard}`);

const root = fileURLToPath(new URL('..', import.meta.url));
const matrix = join(root, 'build/matrix');
const RESULTS = join(matrix, 'results.json');
const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
const { devDependencies } = readJson(join(root, 'package.json'));

const cells = Object.keys(GRPCS)
  .flatMap((grpc) => NODES.map((node) => ({ grpc, node })))
  .filter((_cell, index) => index % shards === shard - 1);
const results = [];
for (const cell of cells) {
  const result = await test(cell);
  results.push(result);
  remember(cell, result);
}
console.table(results);
if (options.markdown !== undefined) writeFileSync(options.markdown, asMarkdown(allResults()));
const failed = results.filter(({ outcome }) => outcome !== 'ok').length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

async function test({ grpc, node }) {
  const directory = workspace(grpc);
  const name = `node-linux-${arch}`;
  const binary = join(install(`node-${node}`, { [name]: node }), name);
  const versions = {
    'Node.js': versionIn(binary),
    'grpc-js': `${versionIn(join(directory, 'node_modules/@grpc/grpc-js'))} (${GRPCS[grpc]})`,
  };
  console.log(`\n=== Node.js ${versions['Node.js']}, @grpc/grpc-js ${versions['grpc-js']}`);
  const args = [join(directory, 'scripts/run-tests.mjs'), ...filters];
  const { code, output } = await run(join(binary, 'bin/node'), args, directory);
  const count = (word) => Number(new RegExp(`^ℹ ${word} (\\d+)$`, 'm').exec(output)?.[1]);
  const counts = { passed: count('pass'), failed: count('fail'), skipped: count('skipped') };
  return { ...versions, outcome: code === 0 ? 'ok' : 'failed', ...counts };
}

/** Shows what the tests print, and gives it, too. */
function run(command, args, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      process.stdout.write(text);
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}

/** A directory with nothing but these packages, installed once. `overrides` are versions that those have which other packages ask for. */
function install(name, dependencies, overrides = {}) {
  const directory = join(matrix, name);
  if (!existsSync(join(directory, 'node_modules'))) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(
      join(directory, 'package.json'),
      JSON.stringify({ private: true, dependencies, overrides }),
    );
    const args = ['install', '--ignore-scripts', '--no-package-lock', '--no-audit', '--no-fund', '--silent'];
    execFileSync('npm', args, { cwd: directory, stdio: 'inherit' });
  }
  return join(directory, 'node_modules');
}

/** A copy of this clone, with another grpc-js in its node_modules. */
function workspace(grpc) {
  const directory = join(matrix, `workspace-${grpc}`);
  rmSync(directory, { recursive: true, force: true });
  const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0');
  for (const path of [...tracked.filter((each) => each !== ''), ...BUILT]) {
    if (existsSync(join(root, path))) cpSync(join(root, path), join(directory, path), { recursive: true });
  }
  const needed = Object.entries(devDependencies).filter(([name]) => !LEFT_OUT.includes(name));
  const own = install(
    `grpc-${grpc}`,
    { ...Object.fromEntries(needed), '@grpc/grpc-js': grpc },
    { '@grpc/grpc-js': grpc },
  );
  symlinkSync(own, join(directory, 'node_modules'));
  return directory;
}

/** Keeps the result for the table of all shards. That of a part of the tests says nothing. */
function remember({ grpc, node }, result) {
  if (filters.length > 0) return;
  const commit = execFileSync('git', ['rev-parse', '--short=7', 'HEAD'], {
    cwd: root,
    encoding: 'utf8',
  }).trim();
  const known = existsSync(RESULTS) ? readJson(RESULTS) : {};
  writeFileSync(RESULTS, JSON.stringify({ ...known, [`${grpc} ${node}`]: { ...result, commit } }));
}

/** Of all cells that have ever run here, in order. */
function allResults() {
  const known = existsSync(RESULTS) ? readJson(RESULTS) : {};
  return Object.keys(GRPCS)
    .flatMap((grpc) => NODES.map((node) => known[`${grpc} ${node}`]))
    .filter((result) => result !== undefined);
}

function asMarkdown(all) {
  const columns = Object.keys(all[0] ?? {});
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return `${[
    '# Versions',
    '',
    'Generated by `npm run test:matrix -- --markdown docs/test-matrix.md`: all tests, on every supported line of Node.js, each with the oldest',
    'and the newest supported versions of `@grpc/grpc-js`.',
    '',
    line(columns),
    line(columns.map(() => '---')),
    ...all.map((result) => line(Object.values(result))),
  ].join('\n')}\n`;
}

function versionIn(directory) {
  return readJson(join(directory, 'package.json')).version.replace(/^v/, '');
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}
