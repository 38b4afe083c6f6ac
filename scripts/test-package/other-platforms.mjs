// macOS and Windows. They are simulated: process.platform is set before the package is loaded.
import assert from 'node:assert/strict';
import { npmFile, once, run } from './environment.mjs';
import { directoryWith, manifestOf, project, tarball } from './projects.mjs';

const PLATFORMS = { macOS: ['darwin', 'arm64'], Windows: ['win32', 'x64'] };
const DOORS = { require: 'passes-through.cjs', import: 'passes-through.mjs' };

/** For `--import`: a program that it preloads takes this machine for another one. */
const pretend = (platform, arch) =>
  `data:text/javascript,for (const [name, value] of Object.entries({ platform: '${platform}', arch: '${arch}' })) Object.defineProperty(process, name, { value })`;

/** npm refuses a package for other platforms with EBADPLATFORM. Its options --os and --cpu do not reach that check. */
async function installs(platform, arch) {
  const directory = directoryWith(`install-${platform}`, [{ 'package.json': manifestOf() }]);
  const npm = ['--import', pretend(platform, arch), npmFile(), 'install', '--ignore-scripts', '--no-audit'];
  const { stderr } = await run(process.execPath, [...npm, tarball(), '@grpc/grpc-js'], { cwd: directory });
  assert.doesNotMatch(stderr, /EBADPLATFORM|warn/i);
  return `npm that runs on ${platform}-${arch} installs it`;
}

async function passesThrough(platform, arch, file) {
  const directory = await once('pretending project', () =>
    project('pretending', { files: ['passes-through.cjs', 'passes-through.mjs'] }),
  );
  const { stdout } = await run(process.execPath, ['--import', pretend(platform, arch), file], {
    cwd: directory,
  });
  assert.equal(stdout.trim(), `${platform}-${arch}: as with grpc-js alone`);
  return 'loads, supported is false, a call passes through, sendFd() says why not';
}

export const rows = [
  // On Windows, npm uses paths that this machine does not have. The row `tarball: npm install` looks at the fields that npm checks there.
  {
    subject: 'platform',
    environment: 'macOS, install',
    short: true,
    work: () => installs(...PLATFORMS.macOS),
  },
  ...Object.entries(PLATFORMS).flatMap(([name, [platform, arch]]) =>
    Object.entries(DOORS).map(([door, file]) => ({
      subject: 'platform',
      environment: `${name}, simulated, ${door}`,
      short: name === 'macOS',
      work: () => passesThrough(platform, arch, file),
    })),
  ),
];
