// Makes the tarball that is tested, with the prebuilt addon of each platform.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './environment.mjs';
import { npm } from './projects.mjs';

const PLATFORMS = ['linux-x64-glibc', 'linux-arm64-glibc', 'linux-x64-musl', 'linux-arm64-musl'];

export async function makeTarball() {
  const missing = PLATFORMS.some((platform) => !existsSync(join(root, 'prebuilds', platform, 'grpcfd.node')));
  // npm runs the scripts that are named `prebuild` and `package`. They need the compilers of this machine.
  const options = { cwd: root, path: 'system' };
  if (missing) await npm(['run', '--silent', 'prebuild'], options);
  await npm(['run', '--silent', 'package', '--', '--all'], options);
}
