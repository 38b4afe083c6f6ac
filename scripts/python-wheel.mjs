// Takes programs from packages of PyPI, with any Python 3 that has pip. Nothing is installed, so it does not matter who manages the packages
// of Python: Debian forbids pip to install (PEP 668).
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Unpacks the wheel of `requirement` (`name` or `name==version`) into the new folder `target`.
 *
 * @param platform a tag of pip, `musllinux_1_2_x86_64` for example. Default: that of this machine
 */
export function unpackWheel(requirement, target, platform) {
  const part = `${target}.part`;
  for (const directory of [part, target]) rmSync(directory, { recursive: true, force: true });
  mkdirSync(part, { recursive: true });
  const run = (command, args) => {
    const { status, error, stderr } = spawnSync(command, args, { cwd: part, encoding: 'utf8' });
    if (status !== 0)
      throw error ?? new Error(`${command} ${args.join(' ')} ended with ${status}\n${stderr}`);
  };
  const ofPlatform = platform === undefined ? [] : ['--platform', platform];
  const only = ['--no-deps', '--only-binary=:all:', ...ofPlatform];
  run('python3', ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', ...only, requirement]);
  const [wheel] = readdirSync(part);
  run('python3', ['-m', 'zipfile', '-e', wheel, '.']);
  rmSync(join(part, wheel));
  // The module zipfile drops permissions.
  run('chmod', ['-R', 'a+rx', '.']);
  renameSync(part, target);
}
