// What is in the tarball, and what npm and the checkers of packages say of it.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root, run } from './environment.mjs';
import { directoryWith, installedPackage, manifestOf, npm, plainProject, tarball } from './projects.mjs';

/** protobufjs, which grpc-js uses, has a script that npm warns of. */
async function installsWithoutWarning() {
  const said = async (name, packages) => {
    const directory = directoryWith(name, [{ 'package.json': manifestOf() }]);
    const { stdout, stderr } = await npm(['install', '--no-audit', '--no-fund', ...packages], {
      cwd: directory,
    });
    return { directory, lines: `${stdout}${stderr}`.split('\n').filter((line) => !/^added|^$/.test(line)) };
  };
  const stock = await said('without-the-package', ['@grpc/grpc-js']);
  const { directory, lines } = await said('with-the-package', ['@grpc/grpc-js', tarball()]);
  assert.deepEqual(lines, stock.lines);
  const installed = join(directory, 'node_modules/grpcfd');
  const fields = Object.keys(JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')));
  assert.deepEqual(
    fields.filter((name) => ['scripts', 'os', 'cpu', 'libc'].includes(name)),
    [],
  );
  // npm runs node-gyp for such a file.
  assert.ok(!existsSync(join(installed, 'binding.gyp')));
  return 'npm warns of nothing that it does not warn of for grpc-js alone; no script, and no field that binds it to a platform';
}

async function checkers() {
  const bin = (name) => join(root, 'node_modules/.bin', name);
  await run(bin('publint'), ['--strict', tarball()]);
  await run(bin('attw'), [tarball()]);
  return 'publint --strict and attw find nothing';
}

async function filesOf(directory) {
  const paths = readdirSync(directory, { recursive: true }).sort();
  return paths
    .map((path) => ({ path, stats: statSync(join(directory, path)) }))
    .filter(({ stats }) => stats.isFile())
    .map(({ path, stats }) => ({ path, size: stats.size }));
}

async function contents() {
  const files = await filesOf(await installedPackage());
  const unpacked = files.reduce((sum, { size }) => sum + size, 0);
  const allowed =
    /^(dist|docs|examples|native|prebuilds)\/|^(CHANGELOG\.md|LICENSE|README\.md|SECURITY\.md|package\.json)$/;
  assert.deepEqual(
    files.map(({ path }) => path).filter((path) => !allowed.test(path)),
    [],
  );
  assert.deepEqual(
    files.map(({ path }) => path).filter((path) => /binding\.gyp$|\.tgz$|\.test\./.test(path)),
    [],
  );
  return `${kilobytes(statSync(tarball()).size)}; ${files.length} files, ${kilobytes(unpacked)} unpacked`;
}

const kilobytes = (size) => `${Math.round(size / 1000)} kB`;

/** What the pages link to. */
async function links() {
  const directory = await installedPackage();
  const pages = (await filesOf(directory)).map(({ path }) => path).filter((path) => path.endsWith('.md'));
  let count = 0;
  for (const page of pages) {
    const text = readFileSync(join(directory, page), 'utf8').replace(/^```.*?^```/gms, '');
    for (const [, markdown, html] of text.matchAll(
      /\]\(([^)\s#:]+)(?:#[^)\s]*)?\)|(?:href|src)="([^"#:]+)"/g,
    )) {
      const target = join(directory, dirname(page), markdown ?? html);
      assert.ok(existsSync(target), `${page} links to ${markdown ?? html}, which is not in the tarball`);
      count++;
    }
  }
  return `${count} links in ${pages.length} pages lead to files of the tarball`;
}

/** Tools that read source maps warn of each that is missing. */
async function sourceMaps() {
  const directory = join(await installedPackage(), 'dist');
  const files = (await filesOf(directory)).map(({ path }) => path);
  const named = files.filter((path) =>
    /^\/\/# sourceMappingURL=/m.test(readFileSync(join(directory, path), 'utf8')),
  );
  assert.deepEqual(named, []);
  return `none of ${files.length} files of dist/ names one`;
}

/** What stacks and inspected objects show. */
async function names() {
  const script = `
    const entries = ['grpcfd', 'grpcfd/socket'].flatMap((door) => Object.entries(require(door)));
    const functions = entries.filter(([, value]) => typeof value === 'function');
    console.log(JSON.stringify(functions.map(([name, value]) => [name, value.name])));
    console.log(require('grpcfd').serverCredentials().constructor.name);`;
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: await plainProject() });
  const [found, credentials] = stdout.split('\n');
  assert.deepEqual(
    JSON.parse(found).filter(([name, own]) => name !== own),
    [],
  );
  assert.equal(credentials, 'FdServerCredentials');
  return 'each class and function has the name that it is exported with';
}

export async function listOfFiles() {
  const files = await filesOf(await installedPackage());
  return `\n${files.map(({ path, size }) => `${String(size).padStart(8)}  ${path}`).join('\n')}`;
}

const CHECKS = {
  'npm install': installsWithoutWarning,
  'publint, attw': checkers,
  files: contents,
  links,
  'source maps': sourceMaps,
  names,
};

export const rows = Object.entries(CHECKS).map(([environment, work]) => ({
  subject: 'tarball',
  environment,
  short: true,
  work,
}));
