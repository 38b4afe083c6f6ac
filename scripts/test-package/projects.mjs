// Empty projects into which the tarball is installed, and the tools that they are tried with.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fixtures, npmFile, once, root, run, work } from './environment.mjs';

const INSTALL = [
  'install',
  '--ignore-scripts',
  '--no-audit',
  '--no-fund',
  '--no-progress',
  '--prefer-offline',
];

let tarballInUse;

/** Tests this file, and not the one that `npm run package` makes. */
export function useTarball(path) {
  tarballInUse = resolve(path);
}

export function tarball() {
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return tarballInUse ?? join(root, `build/${name}-${version}.tgz`);
}

export function npm(args, options) {
  return run(process.execPath, [npmFile(), ...args], options);
}

/** A new folder with these files. A name that `fixtures` has stands for the file there. */
export function directoryWith(name, files = []) {
  const directory = join(work, 'projects', name.replace(/[^\w.-]+/g, '-'));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const file of files) {
    if (typeof file === 'string')
      cpSync(join(fixtures, file.replace(/\.mts$/, '.ts')), join(directory, file));
    else for (const [path, content] of Object.entries(file)) writeFileSync(join(directory, path), content);
  }
  return directory;
}

/** A project with the tarball and the packages of `dependencies`, installed by npm. */
export async function project(name, { files = [], dependencies = [], manifest = {} } = {}) {
  const directory = directoryWith(name, [{ 'package.json': manifestOf(manifest) }, ...files]);
  await npm([...INSTALL, tarball(), '@grpc/grpc-js', ...dependencies], { cwd: directory });
  return directory;
}

export const manifestOf = (fields = {}) =>
  JSON.stringify({ name: 'project', private: true, ...fields }, null, 2);

/** The project that most rows share: it has nothing but the package and grpc-js. */
export function plainProject() {
  return once('plain project', () =>
    project('plain', { files: ['exchange.cjs', 'exchange.mjs', 'without-sockets.cjs', 'about.cjs'] }),
  );
}

/** The package, as it was installed there. */
export const installedPackage = async () => join(await plainProject(), 'node_modules/grpcfd');

/** A folder with these packages. It is kept for later runs. The newest version is asked for again after build/test-package is gone. */
export function tools(name, packages, { flags = [] } = {}) {
  return once(`tools ${name}`, async () => {
    const directory = join(work, 'tools', name.replace(/[^\w.-]+/g, '-'));
    const mark = join(directory, 'installed.json');
    const wanted = JSON.stringify([packages, flags]);
    if (existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return join(directory, 'node_modules');
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'package.json'), manifestOf());
    await npm([...INSTALL, ...flags, ...packages], { cwd: directory });
    writeFileSync(mark, wanted);
    return join(directory, 'node_modules');
  });
}

export function versionOf(nodeModules, name) {
  const { version } = JSON.parse(readFileSync(join(nodeModules, name, 'package.json'), 'utf8'));
  return version.replace(/^v/, '');
}

/** The Node.js of a version, as npm's registry has it. */
export async function nodeBinary(version, arch = process.arch) {
  const name = `node-linux-${arch}`;
  // npm refuses packages for other processors otherwise.
  const flags = arch === process.arch ? [] : ['--force'];
  const modules = await tools(`${name}-${version}`, [`${name}@${version}`], { flags });
  return {
    directory: join(modules, name),
    file: join(modules, name, 'bin/node'),
    version: versionOf(modules, name),
  };
}
