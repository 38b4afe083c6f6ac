// Bundles as the guide says: with the package left out of them, and with everything in them. The latter run where no node_modules is.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once, run, runAnyway } from './environment.mjs';
import { assertExchanged, rowForEachDoor } from './exchange.mjs';
import { project, versionOf } from './projects.mjs';

const PACKAGES = ['grpcfd', '@grpc/grpc-js'];
/** The addon of this machine, in the folder of a project. */
export const addonIn = (directory) =>
  join(directory, `node_modules/grpcfd/prebuilds/linux-${process.arch}-glibc/grpcfd.node`);

const PLUGINS = ['@rollup/plugin-commonjs', '@rollup/plugin-node-resolve', '@rollup/plugin-json'];
const BUNDLERS = {
  esbuild: ['esbuild'],
  webpack: ['webpack', 'webpack-cli', 'node-loader'],
  rollup: ['rollup', ...PLUGINS],
  ncc: ['@vercel/ncc'],
};

/** A project with the entries and a bundler. */
export function projectWith(bundler) {
  return once(`bundler ${bundler}`, () =>
    project(`bundler-${bundler}`, {
      files: ['exchange.cjs', 'exchange.mjs'],
      dependencies: BUNDLERS[bundler],
    }),
  );
}

/** Makes `output` of `entry`. Each gives the file to run. */
export const BUILDS = {
  esbuild: {
    external: async (directory, entry, output) => {
      const flags = ['--external:grpcfd', '--external:@grpc/grpc-js'];
      return esbuild(directory, entry, output, entry.endsWith('.mjs') ? [...flags, '--format=esm'] : flags);
    },
    bundled: (directory, entry, output) =>
      esbuild(directory, entry, output, ['--loader:.node=copy', '--format=cjs']),
  },
  webpack: {
    external: (directory, entry, output) =>
      webpack(directory, entry, output, {
        externals: Object.fromEntries(PACKAGES.map((name) => [name, `commonjs ${name}`])),
      }),
    bundled: (directory, entry, output) =>
      webpack(directory, entry, output, {
        node: { __dirname: false },
        module: { rules: [{ test: '\\.node$', loader: 'node-loader' }] },
      }),
  },
  rollup: {
    external: (directory, entry, output) =>
      rollup(directory, entry, output, 'external: ["grpcfd", "@grpc/grpc-js", /^node:/],'),
    bundled: (directory, entry, output) => rollup(directory, entry, output, ''),
  },
  ncc: {
    external: (directory, entry, output) =>
      ncc(
        directory,
        entry,
        output,
        PACKAGES.flatMap((name) => ['-e', name]),
      ),
    bundled: (directory, entry, output) => ncc(directory, entry, output, []),
  },
};

async function esbuild(directory, entry, output, flags) {
  const extension = flags.includes('--format=esm') ? 'mjs' : 'cjs';
  const args = [
    '--bundle',
    '--platform=node',
    `--outdir=${output}`,
    `--out-extension:.js=.${extension}`,
    ...flags,
  ];
  // The binary is in the package of this platform. The script that the package would run puts it in the place of bin/esbuild.
  const binary = join(directory, `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`);
  await run(binary, [entry, '--log-level=warning', ...args], { cwd: directory });
  return `exchange.${extension}`;
}

async function webpack(directory, entry, output, settings) {
  const config = { mode: 'production', target: 'node', entry: `./${entry}`, ...settings };
  const name = `webpack-${output}.config.cjs`;
  const text = JSON.stringify({ ...config, output: { path: join(directory, output), filename: 'main.cjs' } });
  writeFileSync(join(directory, name), `module.exports = ${text.replace('"\\\\.node$"', '/\\.node$/')};\n`);
  const args = [join(directory, 'node_modules/webpack-cli/bin/cli.js'), '--config', name];
  const { stdout } = await run(process.execPath, args, { cwd: directory });
  assert.doesNotMatch(stdout, /\b(WARNING|ERROR) in/, stdout);
  return 'main.cjs';
}

async function rollup(directory, entry, output, external) {
  const name = `rollup-${output}.config.mjs`;
  const [file, format] = entry.endsWith('.mjs') ? ['main.mjs', 'esm'] : ['main.cjs', 'cjs'];
  const lines = [
    `import commonjs from '@rollup/plugin-commonjs';`,
    `import resolve from '@rollup/plugin-node-resolve';`,
    `import json from '@rollup/plugin-json';`,
    `const plugins = [resolve({ preferBuiltins: true }), commonjs({ ignore: (id) => id.endsWith('.node') }), json()];`,
    `export default { input: '${entry}', ${external} plugins, output: { file: '${output}/${file}', format: '${format}' } };`,
  ];
  writeFileSync(join(directory, name), lines.join('\n'));
  await run(process.execPath, [join(directory, 'node_modules/rollup/dist/bin/rollup'), '-c', name], {
    cwd: directory,
  });
  return file;
}

async function ncc(directory, entry, output, flags) {
  const args = [
    join(directory, 'node_modules/@vercel/ncc/dist/ncc/cli.js'),
    'build',
    entry,
    '-o',
    output,
    ...flags,
  ];
  await run(process.execPath, args, { cwd: directory });
  return entry.endsWith('.mjs') ? 'index.mjs' : 'index.cjs';
}

/** A copy of the bundle where neither its folder nor one above it has node_modules. */
export function copyAway(output) {
  const directory = mkdtempSync(join(tmpdir(), 'grpcfd-bundle-'));
  cpSync(output, directory, { recursive: true });
  return { directory, remove: () => rmSync(directory, { recursive: true }) };
}

async function bundle(bundler, way, entry) {
  const directory = await projectWith(bundler);
  const output = `out-${way}-${entry}`;
  const file = await BUILDS[bundler][way](directory, entry, output);
  const version = `${bundler} ${versionOf(join(directory, 'node_modules'), BUNDLERS[bundler][0])}`;
  if (way === 'external') {
    assertExchanged(await run(process.execPath, [join(output, file)], { cwd: directory }));
    return version;
  }
  const away = copyAway(join(directory, output));
  try {
    // The addon is not in the bundle of rollup.
    const env = bundler === 'rollup' ? { GRPCFD_ADDON: addonIn(directory) } : {};
    assertExchanged(await run(process.execPath, [file], { cwd: away.directory, env }));
    if (bundler !== 'rollup') return version;
    const { code, stderr } = await runAnyway(process.execPath, [file], { cwd: away.directory });
    assert.equal(code, 1);
    assert.match(stderr, /ERR_GRPCFD_ADDON_NOT_LOADED/);
    return `${version}, with GRPCFD_ADDON. Without it: ERR_GRPCFD_ADDON_NOT_LOADED`;
  } finally {
    away.remove();
  }
}

export const rows = Object.keys(BUNDLERS).flatMap((bundler) =>
  [
    ['external', 'left out'],
    ['bundled', 'everything bundled'],
  ].flatMap(([way, name]) =>
    rowForEachDoor({
      subject: 'bundler',
      environment: `${bundler}, ${name}`,
      short: bundler === 'esbuild' && way === 'bundled',
      work: (file) => bundle(bundler, way, file),
    }),
  ),
);
