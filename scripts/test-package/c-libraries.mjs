// The oldest glibc, and musl. What this machine can only emulate is loaded, and tried without sockets: they misbehave under qemu-user.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './environment.mjs';
import { assertExchanged, rowForEachDoor } from './exchange.mjs';
import { installedPackage, plainProject } from './projects.mjs';
import { musl, oldGlibc } from './userlands.mjs';

const SYSTEMS = {
  'Debian 11': oldGlibc,
  'musl 1.2.5': musl,
  'musl 1.2.5, its loader a link to libc.so': (arch) => musl(arch, { linkedLoader: true }),
};
const FOREIGN = process.arch === 'x64' ? 'arm64' : undefined;

const about = async (system) => (await system.run(await plainProject(), 'about.cjs')).stdout.trim();

const ownArchitecture = Object.entries(SYSTEMS).flatMap(([name, make]) =>
  rowForEachDoor({
    subject: 'c-library',
    environment: `${name}, ${process.arch}`,
    async work(file) {
      const system = await make(process.arch);
      assertExchanged(await system.run(await plainProject(), file));
      return about(system);
    },
  }),
);

const foreignArchitecture = Object.entries(SYSTEMS).map(([name, make]) => ({
  subject: 'c-library',
  environment: `${name}, ${FOREIGN} emulated`,
  async work() {
    const system = await make(FOREIGN);
    const { stdout } = await system.run(await plainProject(), 'without-sockets.cjs');
    return `${await about(system)}; ${stdout.trim()}. Calls are untested here: sockets misbehave under qemu-user`;
  },
}));

/** Tests of this repository that run under qemu-user. It opens /proc/self/exe in its own way, as one of them does. */
const nativeTests = ['glibc', 'musl'].map((library) => ({
  subject: 'c-library',
  environment: `native tests, ${FOREIGN} ${library} emulated`,
  async work() {
    const system = await { glibc: oldGlibc, musl }[library](FOREIGN);
    const inbox = readdirSync(join(root, 'build/test/inbox')).filter((name) => name.endsWith('.test.js'));
    const files = ['native/descriptors.test.js', 'native/fd-lists.test.js', 'native/memory.test.js'];
    const flags = ['--expose-gc', '--test-reporter=tap', '--test-skip-pattern=open returns a close-on-exec'];
    const env = {
      GRPCFD_ADDON: join(await installedPackage(), `prebuilds/linux-${FOREIGN}-${library}/grpcfd.node`),
    };
    let passed = 0;
    for (const file of [...files, ...inbox.map((name) => `inbox/${name}`)]) {
      const { stdout } = await system.run(join(root, 'build/test'), file, flags, env);
      passed += Number(/^# pass (\d+)$/m.exec(stdout)?.[1]);
    }
    return `${passed} passed: lists of descriptors, memory, bookkeeping of what came in`;
  },
}));

export const rows = [...ownArchitecture, ...(FOREIGN ? [...foreignArchitecture, ...nativeTests] : [])];
