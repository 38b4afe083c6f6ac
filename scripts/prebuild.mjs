// npm run prebuild [-- TARGET …]: builds the addon for every platform that the package supports, into prebuilds/TARGET/grpcfd.node. The
// compiler is that of Zig, which brings the C libraries of all of them. It comes from PyPI into build/zig, which needs Python 3 with pip.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon } from '../native/build.mjs';
import { unpackWheel } from './python-wheel.mjs';

const ZIG = 'ziglang==0.13.0';
// The number is the oldest glibc that can load the result: that of RHEL 8. Debian 11 has a later one.
const TARGETS = {
  'linux-x64-glibc': 'x86_64-linux-gnu.2.28',
  'linux-arm64-glibc': 'aarch64-linux-gnu.2.28',
  'linux-x64-musl': 'x86_64-linux-musl',
  'linux-arm64-musl': 'aarch64-linux-musl',
};

const root = fileURLToPath(new URL('..', import.meta.url));
const zig = join(root, 'build/zig');

function zigBinary() {
  if (!existsSync(zig)) unpackWheel(ZIG, zig);
  return join(zig, 'ziglang/zig');
}

const wanted = process.argv.slice(2);
const unknown = wanted.find((target) => !Object.hasOwn(TARGETS, target));
if (unknown !== undefined) {
  console.error(`unknown target ${unknown}. The targets are ${Object.keys(TARGETS).join(', ')}`);
  process.exit(2);
}

const compiler = zigBinary();
process.env['ZIG_GLOBAL_CACHE_DIR'] ??= join(root, 'build/zig-cache');
const sizes = [];
for (const target of wanted.length > 0 ? wanted : Object.keys(TARGETS)) {
  const output = join(root, 'prebuilds', target, 'grpcfd.node');
  await buildAddon({
    compiler: [compiler, 'c++', '-target', TARGETS[target]],
    directory: join(root, 'build/prebuild', target),
    output,
    // The control messages of musl compare integers of different signs, and the start files of Zig are old C.
    compilerFlags: [],
    linkerFlags: ['-s', '-w'],
  });
  sizes.push({ target, bytes: statSync(output).size });
}
console.table(sizes);
