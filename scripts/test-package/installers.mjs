// Other programs that install packages.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { once, run, work } from './environment.mjs';
import { assertExchanged, rowForEachDoor } from './exchange.mjs';
import { directoryWith, manifestOf, nodeBinary, tarball, tools, versionOf } from './projects.mjs';

const FILES = ['exchange.cjs', 'exchange.mjs'];

/** A project that names the tarball and grpc-js as its dependencies, installed once for both doors. */
function installed(name) {
  return once(`installer ${name}`, async () => {
    const dependencies = { grpcfd: `file:${tarball()}`, '@grpc/grpc-js': '*' };
    const directory = directoryWith(`installer-${name}`, [
      { 'package.json': manifestOf({ dependencies }) },
      ...FILES,
    ]);
    return { directory, version: await INSTALLERS[name].install(directory) };
  });
}

const INSTALLERS = {
  pnpm: { install: pnpm },
  'yarn classic': { install: yarnClassic },
  'yarn, node-modules': { install: (directory) => berry(directory, 'node-modules') },
  "yarn, Plug'n'Play": {
    install: (directory) => berry(directory, 'pnp'),
    flags: ['--require', './.pnp.cjs', '--experimental-loader', './.pnp.loader.mjs'],
  },
};

async function pnpm(directory) {
  const modules = await tools('pnpm', ['pnpm']);
  const file = ['pnpm.mjs', 'pnpm.cjs'].map((name) => join(modules, 'pnpm/bin', name)).find(existsSync);
  const node = await nodeBinary('24');
  const args = ['install', '--ignore-scripts', '--ignore-workspace'];
  await run(node.file, [file, ...args], { cwd: directory, env: { CI: '1' } });
  return `pnpm ${versionOf(modules, 'pnpm')}`;
}

async function yarnClassic(directory) {
  const modules = await tools('yarn', ['yarn@1']);
  const cache = join(work, 'tools/yarn/cache');
  // yarn knows a tarball in its cache by name and version alone.
  rmSync(cache, { recursive: true, force: true });
  const args = ['install', '--ignore-scripts', '--non-interactive', '--cache-folder', cache];
  await run(process.execPath, [join(modules, 'yarn/bin/yarn.js'), ...args], { cwd: directory });
  return `yarn ${versionOf(modules, 'yarn')}`;
}

async function berry(directory, linker) {
  const modules = await tools('yarn-berry', ['@yarnpkg/cli-dist']);
  const settings = [
    `nodeLinker: ${linker}`,
    'enableScripts: false',
    'enableTelemetry: false',
    'enableGlobalCache: false',
    ...registrySettings(),
  ];
  writeFileSync(join(directory, '.yarnrc.yml'), `${settings.join('\n')}\n`);
  writeFileSync(join(directory, 'yarn.lock'), '');
  const yarn = join(modules, '@yarnpkg/cli-dist/bin/yarn.js');
  await run(process.execPath, [yarn, 'install', '--no-immutable'], { cwd: directory });
  return `yarn ${versionOf(modules, '@yarnpkg/cli-dist')}`;
}

/** yarn does not read the settings of npm. */
function registrySettings() {
  const registry = process.env.npm_config_registry ?? process.env.NPM_CONFIG_REGISTRY;
  return registry === undefined ? [] : [`npmRegistryServer: '${registry}'`];
}

export const rows = Object.entries(INSTALLERS).flatMap(([name, { flags = [] }]) =>
  rowForEachDoor({
    subject: 'installer',
    environment: name,
    async work(file) {
      const { directory, version } = await installed(name);
      assertExchanged(await run(process.execPath, [...flags, file], { cwd: directory }));
      return version;
    },
  }),
);
