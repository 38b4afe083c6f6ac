// What the prebuilt addons ask of a system: read from the files, so that it also holds for systems on which no row runs.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { readElf } from './elf.mjs';
import { run } from './environment.mjs';
import { NODES } from './nodes.mjs';
import { installedPackage, nodeBinary } from './projects.mjs';

/** RHEL 8 has this one. Debian 11 has 2.31. */
const NEWEST_GLIBC = '2.28';
const LIBRARIES = {
  glibc: [
    'libc.so.6',
    'libdl.so.2',
    'libm.so.6',
    'libpthread.so.0',
    'ld-linux-x86-64.so.2',
    'ld-linux-aarch64.so.1',
  ],
  musl: ['libc.so'],
};

const prebuilt = async (platform) => join(await installedPackage(), 'prebuilds', platform, 'grpcfd.node');
const byVersion = (a, b) => a.localeCompare(b, 'en', { numeric: true });

async function needs(platform) {
  const file = await prebuilt(platform);
  const [, arch, library] = platform.split('-');
  const { machine, libraries, symbols, executableStack } = readElf(file);
  assert.equal(machine, arch);
  assert.ok(!executableStack, 'the stack is executable');
  for (const name of libraries) assert.ok(LIBRARIES[library].includes(name), `it needs ${name}`);
  const versioned = symbols.filter(({ version }) => version !== undefined);
  const newest = versioned
    .map(({ version }) => version)
    .sort(byVersion)
    .at(-1);
  if (library === 'musl') assert.equal(newest, undefined);
  else assert.ok(byVersion(newest, `GLIBC_${NEWEST_GLIBC}`) <= 0, `it needs ${newest}`);
  const binding = versioned.filter(({ version }) => version === newest).map(({ name }) => name);
  const versions = newest === undefined ? 'no versions' : `${newest} at most (${binding.join(', ')})`;
  return `${versions}; ${libraries.join(', ')}; ${statSync(file).size} bytes`;
}

/** The functions of libuv and Node-API that the addon takes from Node.js. */
function fromNode(file) {
  const { symbols } = readElf(file);
  return symbols
    .filter(({ name, defined }) => !defined && /^(uv|napi|node_api)_/.test(name))
    .map(({ name }) => name);
}

async function exports(version, arch) {
  const node = await nodeBinary(version, arch);
  const exported = new Set(
    readElf(node.file)
      .symbols.filter(({ defined }) => defined)
      .map(({ name }) => name),
  );
  const addon = await prebuilt(`linux-${arch}-glibc`);
  const wanted = fromNode(addon);
  assert.deepEqual(
    wanted.filter((name) => !exported.has(name)),
    [],
  );
  if (arch === process.arch) {
    const load =
      'process.dlopen({ exports: {} }, process.argv[1], require("node:os").constants.dlopen.RTLD_NOW)';
    await run(node.file, ['-e', load, addon]);
  }
  const uv = wanted.filter((name) => name.startsWith('uv_')).length;
  return `v${node.version} exports all ${uv} functions of libuv and ${wanted.length - uv} of Node-API that are used`;
}

const PLATFORMS = ['linux-x64-glibc', 'linux-arm64-glibc', 'linux-x64-musl', 'linux-arm64-musl'];

export const rows = [
  ...PLATFORMS.map((platform) => ({
    subject: 'binary',
    environment: platform,
    short: true,
    work: () => needs(platform),
  })),
  ...NODES.map((version) => ({
    subject: 'symbols',
    environment: `Node ${version}, ${process.arch}`,
    short: version === NODES[0],
    work: () => exports(version, process.arch),
  })),
  ...(process.arch === 'x64' ? ['20.19.0', '22', '24', '26'] : []).map((version) => ({
    subject: 'symbols',
    environment: `Node ${version}, arm64`,
    work: () => exports(version, 'arm64'),
  })),
];
