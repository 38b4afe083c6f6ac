// Packages of other Debian releases and architectures, unpacked into a folder of their own. Nothing is installed. It needs apt and dpkg-deb.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { once, run, work } from './environment.mjs';

/** Has glibc 2.31. */
export const OLD = 'bullseye';
/** Its musl, 1.2.5, is the first that can load the musl builds of Node.js: they use DT_RELR. */
export const NEW = 'trixie';
export const DEBIAN_ARCH = { x64: 'amd64', arm64: 'arm64' };

const directory = join(work, 'tools/debian');
const system = (command, args, options) => run(command, args, { ...options, path: 'system' });

/** An apt of its own, with its own lists, that asks the mirror of this machine. */
function apt() {
  return once('apt', async () => {
    const format = ['--format', '$(REPO_URI)', 'Origin: Debian', 'Label: Debian'];
    const { stdout } = await system('apt-get', ['indextargets', ...format]);
    const mirror = stdout.split('\n')[0];
    if (mirror === '') throw new Error('this row needs Debian, with sources for apt');
    for (const folder of ['state/lists/partial', 'cache/archives/partial']) {
      mkdirSync(join(directory, folder), { recursive: true });
    }
    const sources = [OLD, NEW].map((release) => `deb ${mirror} ${release} main\n`);
    writeFileSync(join(directory, 'sources.list'), sources.join(''));
    writeFileSync(join(directory, 'status'), '');
    const settings = [
      `Dir::State "${directory}/state"; Dir::State::status "${directory}/status"; Dir::Cache "${directory}/cache";`,
      `Dir::Etc::SourceList "${directory}/sources.list"; Dir::Etc::SourceParts "-";`,
      'Dir::Etc::TrustedParts "/usr/share/keyrings";',
      `APT::Architectures { ${Object.values(DEBIAN_ARCH).map((arch) => `"${arch}";`)} };`,
      // Old releases are not signed anew.
      'Acquire::Languages "none"; Acquire::Check-Valid-Until "false"; APT::Sandbox::User "root";',
      'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
    ];
    writeFileSync(join(directory, 'apt.conf'), `${settings.join('\n').replaceAll(',', ' ')}\n`);
    const env = { APT_CONFIG: join(directory, 'apt.conf') };
    await system('apt-get', ['update', '-qq'], { env });
    return env;
  });
}

/** A folder with the files of these packages of one release, for one architecture. */
export function debianFiles(release, arch, packages) {
  const name = `${release}-${arch}-${packages.join('+')}`;
  return once(name, async () => {
    const target = join(directory, name);
    if (existsSync(target)) return target;
    const env = await apt();
    const archives = join(directory, `${name}.deb`);
    const unpacked = join(directory, `${name}.part`);
    for (const folder of [archives, unpacked]) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
    }
    const wanted = packages.map((each) => `${each}:${DEBIAN_ARCH[arch]}/${release}`);
    await system('apt-get', ['download', '-qq', ...wanted], { cwd: archives, env });
    for (const file of readdirSync(archives)) {
      await system('dpkg-deb', ['--extract', join(archives, file), unpacked]);
    }
    await system('mv', [unpacked, target]);
    return target;
  });
}
