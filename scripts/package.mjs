// npm run package [-- --all]: makes the tarball that is published, build/grpcfd-VERSION.tgz, from what `npm run compile` has made. Its
// JavaScript is one file, build/package/dist/bundle/grpcfd.js, with a door for each entry of the package. It holds the addons in prebuilds/
// (npm run prebuild). Without them it holds the addon of this machine. With --all it fails unless there is one for each platform.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const PLATFORMS = ['linux-x64-glibc', 'linux-arm64-glibc', 'linux-x64-musl', 'linux-arm64-musl'];
const UNPACKED_FIELDS = ['scripts', 'devDependencies', 'imports', 'type', 'files'];
const COPIED = ['README.md', 'CHANGELOG.md', 'LICENSE', 'docs', 'examples'];

const root = fileURLToPath(new URL('..', import.meta.url));
const staged = join(root, 'build/package');
const write = (path, text) => {
  mkdirSync(dirname(join(staged, path)), { recursive: true });
  writeFileSync(join(staged, path), text);
};
const copy = (path, wanted = () => true) =>
  cpSync(join(root, path), join(staged, path), { recursive: true, filter: wanted });

rmSync(staged, { recursive: true, force: true });
for (const path of COPIED) copy(path);
copy('dist', (path) => !/\.(map|js|mjs)$/.test(path));
copy('native', (path) => !path.startsWith(join(root, 'native/build/')));
addAddons(process.argv.includes('--all'));
await bundle();
const { name, version, ...fields } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const kept = Object.entries(fields).filter(([field]) => !UNPACKED_FIELDS.includes(field));
write(
  'package.json',
  `${JSON.stringify({ name, version, type: 'commonjs', ...Object.fromEntries(kept) }, null, 2)}\n`,
);
assertLinks();
const packed = spawnSync('npm', ['pack', '--pack-destination', '..'], { cwd: staged, stdio: 'inherit' });
process.exit(packed.status ?? 1);

function addAddons(all) {
  for (const platform of PLATFORMS) {
    const path = `prebuilds/${platform}/grpcfd.node`;
    if (existsSync(join(root, path))) copy(path);
    else if (all) throw new Error(`${path} is missing: run npm run prebuild`);
  }
  if (!existsSync(join(staged, 'prebuilds'))) copy('native/build/Release/grpcfd.node');
}

/** All modules in one file, which is loaded in a third of the time. A door re-exports by name, so that `import` finds the names. */
async function bundle() {
  const doors = ['index', 'socket/index', 'register'];
  const entries = doors.map((door) => `exports['${door}'] = () => require('./dist/${door}.js');`);
  await build({
    stdin: { contents: entries.join('\n'), resolveDir: root },
    bundle: true,
    platform: 'node',
    target: 'node20.19',
    external: ['@grpc/grpc-js', '@grpc/grpc-js/*', '*.node'],
    outfile: join(staged, 'dist/bundle/grpcfd.js'),
    logLevel: 'warning',
  });
  const require = createRequire(import.meta.url);
  for (const door of doors) {
    const names = Object.keys(require(join(root, 'dist', `${door}.js`)));
    const up = door.includes('/') ? '..' : '.';
    const lines = ["'use strict';", `const door = require('${up}/bundle/grpcfd.js')['${door}']();`];
    write(
      `dist/${door}.js`,
      `${[...lines, ...names.map((each) => `exports.${each} = door.${each};`)].join('\n')}\n`,
    );
    copy(`dist/${door}.mjs`);
  }
}

/** Whoever reads the README on a machine has only what is packed. */
function assertLinks() {
  const pages = readdirSync(staged, { recursive: true }).filter((path) => path.endsWith('.md'));
  for (const page of pages) {
    for (const [, link] of readFileSync(join(staged, page), 'utf8').matchAll(/\]\(([^)#:\s]+)[^):]*\)/g)) {
      if (existsSync(join(staged, dirname(page), link))) continue;
      throw new Error(`${page} links to ${link}, which is not packed`);
    }
  }
}
