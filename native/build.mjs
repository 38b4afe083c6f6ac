// Builds the addon for the machine that it runs on: node native/build.mjs. It needs a C++17 compiler: `$CXX`, or c++. $CXXFLAGS and
// $LDFLAGS are added to its arguments. With GRPCFD_STRICT=1, it asks for more warnings, and a warning is an error. The result is
// native/build/Release/grpcfd.node, which is loaded in place of a prebuilt addon.
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = dirname(fileURLToPath(import.meta.url));
const { version } = JSON.parse(readFileSync(join(native, '../package.json'), 'utf8'));

/** What the code means depends on these. The warnings of the headers of Node-API are nobody's. */
export const languageFlags = () => [
  ...['-std=c++17', '-pthread', '-fno-exceptions', '-fno-rtti'],
  ...['-DNAPI_VERSION=8', '-DNODE_GYP_MODULE_NAME=grpcfd', '-DBUILDING_NODE_EXTENSION'],
  `-DGRPCFD_VERSION="${version}"`,
  ...['-isystem', nodeApiHeaders()],
];

const CODE_FLAGS = ['-O3', '-fPIC', '-fvisibility=hidden'];

/** A user may have any compiler. It has to know the flags, and its new warnings stop nobody. */
const WARNINGS = ['-Wall', '-Wextra'];

/** What GCC and Clang both have. */
export const STRICT_WARNINGS = [
  ...[
    ...WARNINGS,
    '-Wpedantic',
    '-Werror',
    '-Wshadow',
    '-Wconversion',
    '-Wsign-conversion',
    '-Wdouble-promotion',
  ],
  ...['-Wold-style-cast', '-Wcast-qual', '-Wcast-align', '-Wzero-as-null-pointer-constant', '-Wformat=2'],
  ...['-Wnon-virtual-dtor', '-Woverloaded-virtual', '-Wsuggest-override', '-Wmissing-declarations'],
  ...['-Wextra-semi', '-Wundef', '-Wvla'],
];

export const isStrict = process.env.GRPCFD_STRICT === '1';

/** Compiles what has changed since the last build in `directory`, and links it to the file `output`. */
export async function buildAddon({ compiler, directory, output, compilerFlags = [], linkerFlags = [] }) {
  const flags = [
    ...[...languageFlags(), ...CODE_FLAGS, ...(isStrict ? STRICT_WARNINGS : WARNINGS)],
    ...compilerFlags,
  ];
  removeOthers(directory, [...compiler, ...flags]);
  mkdirSync(dirname(output), { recursive: true });
  const sources = readdirSync(native).filter((name) => name.endsWith('.cc'));
  const newestHeader = Math.max(
    ...readdirSync(native)
      .filter((name) => /\.(h|mjs)$/.test(name))
      .map((name) => changedAt(join(native, name))),
  );
  const objectOf = (source) => join(directory, source.replace(/\.cc$/, '.o'));
  const outdated = sources.filter(
    (source) => changedAt(objectOf(source)) <= Math.max(newestHeader, changedAt(join(native, source))),
  );
  await inParallel(outdated, (source) =>
    run(compiler, [...flags, '-c', join(native, source), '-o', objectOf(source)]),
  );
  await run(compiler, ['-shared', '-pthread', ...sources.map(objectOf), ...linkerFlags, '-o', output]);
}

/** Objects that were made with other flags are not what is asked for. */
function removeOthers(directory, flags) {
  const note = join(directory, 'flags.json');
  const text = JSON.stringify(flags);
  if (existsSync(note) && readFileSync(note, 'utf8') === text) return;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  writeFileSync(note, text);
}

/** The folder with node_api.h: of the package node-api-headers where it is installed, or else of Node.js, or of npm's registry. */
function nodeApiHeaders() {
  try {
    return createRequire(import.meta.url)('node-api-headers').include_dir;
  } catch {
    const besideNode = join(dirname(dirname(process.execPath)), 'include/node');
    return existsSync(join(besideNode, 'node_api.h')) ? besideNode : downloadedHeaders();
  }
}

function downloadedHeaders() {
  const directory = join(native, 'build/headers');
  const args = ['install', '--prefix', directory, '--no-save', '--ignore-scripts', 'node-api-headers@1'];
  const { status, error } = spawnSync('npm', args, { stdio: 'inherit' });
  if (status !== 0)
    throw error ?? new Error('npm cannot install node-api-headers, which has the headers of Node-API');
  return join(directory, 'node_modules/node-api-headers/include');
}

async function inParallel(items, work) {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

function run([command, ...first], args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...first, ...args], { stdio: 'inherit' });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${[command, ...first].join(' ')} ended with ${code}: ${args.join(' ')}`));
    });
  });
}

function changedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

const words = (text = '') => text.split(/\s+/).filter((word) => word !== '');

/** pnpm and npm link make node_modules/grpcfd a symbolic link, and this module is known by the file behind it. */
const isProgram = () => {
  const program = process.argv[1] ?? '';
  return existsSync(program) && realpathSync(program) === realpathSync(fileURLToPath(import.meta.url));
};

if (isProgram()) {
  const compilerFlags = words(process.env.CXXFLAGS);
  await buildAddon({
    compiler: words(process.env.CXX || 'c++'),
    directory: join(native, 'build/objects'),
    output: join(native, 'build/Release/grpcfd.node'),
    compilerFlags,
    linkerFlags: [...compilerFlags, ...words(process.env.LDFLAGS)],
  });
}
