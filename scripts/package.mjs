// npm run package [-- --all]: makes the tarball that is published, build/grpcfd-VERSION.tgz, from what `npm run compile` has made. Its
// JavaScript is in three files, dist/bundle/*.js, with a door for each entry of the package. The command line tool is a file of its own. The tarball holds the addons in prebuilds/ (npm run prebuild). Without them it holds the addon of this machine. With --all it fails unless there is one for each platform.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, transform } from 'esbuild';

const PLATFORMS = ['linux-x64-glibc', 'linux-arm64-glibc', 'linux-x64-musl', 'linux-arm64-musl'];
const UNPACKED_FIELDS = ['scripts', 'devDependencies', 'imports', 'type', 'files'];
/** Stands for `require` while esbuild works, which would put an object before each `require`, and hide the addons from bundlers. */
const REQUIRE = 'requireOfCommonJs';
/** esbuild gives what is exported another name where two modules have the same one. */
const OWN_NAMES = `
for (const [name, value] of Object.entries(module.exports))
  if (typeof value === 'function') Object.defineProperty(value, 'name', { value: name, configurable: true });
`;
const COPIED = ['README.md', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE', 'docs', 'examples'];

const root = fileURLToPath(new URL('..', import.meta.url));
const staged = join(root, 'build/package');
const { name, version, ...fields } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const write = (path, text) => {
  mkdirSync(dirname(join(staged, path)), { recursive: true });
  writeFileSync(join(staged, path), text);
};
const copy = (path, wanted = () => true) =>
  cpSync(join(root, path), join(staged, path), { recursive: true, filter: wanted });

rmSync(staged, { recursive: true, force: true });
// Whoever has run an example has more than its files.
for (const path of COPIED)
  copy(
    path,
    (each) => !/\/(node_modules|build|generated|package-lock\.json)$|\.sock$/.test(each.slice(root.length)),
  );
copy('dist', (path) => !/\.(map|js|mjs)$/.test(path) && path !== join(root, 'dist/cli'));
const TESTS_OF_ADDON = ['build', 'fuzz', 'stress'].map((name) => join(root, 'native', name));
copy('native', (path) => !TESTS_OF_ADDON.includes(path));
addAddons(process.argv.includes('--all'));
await bundle();
await bundleTool();
forgetMaps();
// The provenance of npm names the repository, and has to agree with this field.
const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository } = process.env;
if (repository !== undefined) fields.repository ??= { type: 'git', url: `git+${server}/${repository}.git` };
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

/**
 * Puts the modules into three files, which load in half the time: shared.js is what grpcfd and grpcfd/socket both need, and it needs no
 * grpc-js. In a file, the modules stand one after the other. In functions of their own, as esbuild puts CommonJS, they would be parsed twice.
 */
async function bundle() {
  const { outputFiles } = await build({
    entryPoints: { grpcfd: 'every-export', socket: join(root, 'src/socket/index.ts') },
    plugins: [{ name: 'package', setup: setUp }],
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    tsconfig: join(root, 'src/tsconfig.json'),
    external: ['@grpc/grpc-js'],
    chunkNames: 'shared',
    outdir: 'bundle',
    write: false,
    logLevel: 'warning',
  });
  for (const { path, text } of outputFiles) {
    const file = basename(path);
    const code = asCommonJs(text) + (file === 'shared.js' ? '' : OWN_NAMES);
    write(`dist/bundle/${file}`, withOwnNames(await withoutComments(code)));
  }
  writeDoor('index', 'grpcfd');
  writeDoor('socket/index', 'socket');
  // What src/register.ts does, with the copy of the bundle.
  const register = [
    "'use strict';",
    "const { Server } = require('@grpc/grpc-js');",
    "require('./bundle/grpcfd.js').honourServerCredentials(Server.prototype);",
  ];
  write('dist/register.js', `${register.join('\n')}\n`);
  copy('dist/register.mjs');
  // Glue for frameworks is made of public names alone, so it stays as it is.
  copy('dist/frameworks', (path) => !path.endsWith('.map'));
}

/** The tool loads the doors of the package, as its users do. */
async function bundleTool() {
  const outfile = join(staged, 'dist/cli/main.js');
  const doors = ['index', 'socket/index'].map((door) => join(root, 'src', door));
  await build({
    entryPoints: [join(root, 'src/cli/main.ts')],
    plugins: [
      {
        name: 'doors',
        setup: (esbuild) =>
          esbuild.onResolve({ filter: /index\.js$/ }, ({ path, resolveDir }) => {
            const door = join(resolveDir, path.slice(0, -'.js'.length));
            if (!doors.includes(door)) return undefined;
            return { path: `../${door.slice(join(root, 'src/').length)}.js`, external: true };
          }),
      },
    ],
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20.19',
    tsconfig: join(root, 'src/tsconfig.json'),
    external: ['@grpc/grpc-js'],
    outfile,
    logLevel: 'warning',
  });
  chmodSync(outfile, 0o755);
}

function setUp(esbuild) {
  // All names of grpcfd, and what register.js needs.
  const everyExport = [
    "export * from './src/index.ts';",
    "export { honourServerCredentials } from './src/grpc/server/server.ts';",
  ];
  esbuild.onResolve({ filter: /^every-export$/ }, ({ path }) => ({ path, namespace: 'every-export' }));
  esbuild.onLoad({ filter: /.*/, namespace: 'every-export' }, () => ({
    contents: everyExport.join('\n'),
    resolveDir: root,
  }));
  esbuild.onLoad({ filter: /\.ts$/ }, ({ path }) => ({
    contents: readFileSync(path, 'utf8')
      .replace("require('../../package.json').version", JSON.stringify(version))
      .replace(/\brequire(?=[.(])/g, REQUIRE),
    loader: 'ts',
  }));
}

/** esbuild shares code between files only as ES modules. Its own way back to CommonJS puts a function before each use of an import. */
function asCommonJs(text) {
  const code = text
    .replace(/^import (?:\* as )?(\w+) from (".*");$/gm, 'const $1 = require($2);')
    .replace(
      /^import \{([^}]*)\} from (".*");$/gm,
      (_, names, from) => `const {${names.replaceAll(' as ', ': ')}} = require(${from});`,
    )
    .replace(
      /^export \{([^}]*)\};$/gm,
      (_, names) => `module.exports = {${names.replace(/(\w+) as (\w+)/g, '$2: $1')}};`,
    )
    .replaceAll(REQUIRE, 'require');
  const left = /^(import|export)\b.*/m.exec(code);
  if (left !== null) throw new Error(`a line of a kind that is new: ${left[0]}`);
  return `'use strict';\n${code}`;
}

/** esbuild has `var Name = class Name2` for a class that names itself. Users see the name of a class in stacks. */
function withOwnNames(code) {
  const pairs = [...code.matchAll(/^var (\w+) = class (_?\1\d*)\b/gm)];
  return pairs.reduce(
    (text, [, name, inner]) => text.replaceAll(new RegExp(`\\b${inner}\\b`, 'g'), name),
    code,
  );
}

/** Comments are a fifth of each file, which is read at every start. One character above ASCII in them makes V8 read twice the bytes. */
async function withoutComments(code) {
  const { code: dense } = await transform(code, { minifyWhitespace: true });
  return (await transform(dense)).code;
}

/** Exports each name by itself, so that `import` finds the names. */
function writeDoor(door, file) {
  const names = Object.keys(createRequire(import.meta.url)(join(root, 'dist', `${door}.js`)));
  const up = door.includes('/') ? '..' : '.';
  const lines = ["'use strict';", `const all = require('${up}/bundle/${file}.js');`];
  write(
    `dist/${door}.js`,
    `${[...lines, ...names.map((each) => `exports.${each} = all.${each};`)].join('\n')}\n`,
  );
  copy(`dist/${door}.mjs`);
}

/** The maps of what the compiler made are not packed, since they name sources that are not, either. */
function forgetMaps() {
  const dist = join(staged, 'dist');
  for (const path of readdirSync(dist, { recursive: true })) {
    if (!/\.(js|mjs|d\.ts|d\.mts)$/.test(path)) continue;
    const text = readFileSync(join(dist, path), 'utf8');
    writeFileSync(join(dist, path), text.replace(/^\/\/# sourceMappingURL=.*\n?/gm, ''));
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
