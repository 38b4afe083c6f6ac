// Bun and Deno: they run programs of Node.js, but cannot run the addon. The import has to say so, and nothing may crash.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { runAnyway } from './environment.mjs';
import { rowForEachDoor } from './exchange.mjs';
import { plainProject, tools, versionOf } from './projects.mjs';

const RUNTIMES = {
  Bun: {
    package: 'bun',
    binary: { x64: '@oven/bun-linux-x64', arm64: '@oven/bun-linux-aarch64' },
    file: 'bin/bun',
    args: ['run'],
  },
  Deno: {
    package: 'deno',
    binary: { x64: '@deno/linux-x64-glibc', arm64: '@deno/linux-arm64-glibc' },
    file: 'deno',
    args: ['run', '--allow-all', '--no-lock'],
  },
};

export const rows = Object.entries(RUNTIMES).flatMap(([name, runtime]) =>
  rowForEachDoor({
    subject: 'runtime',
    environment: name,
    async work(file) {
      const modules = await tools(runtime.package, [runtime.package]);
      const binary = join(modules, runtime.binary[process.arch], runtime.file);
      const outcome = await runAnyway(binary, [...runtime.args, file], { cwd: await plainProject() });
      assert.equal(outcome.signal, null);
      assert.equal(outcome.code, 1, outcome.stderr);
      assert.match(outcome.stderr, new RegExp(`grpcfd needs Node\\.js\\. It does not run in ${name}`));
      return `${runtime.package} ${versionOf(modules, runtime.package)}: the import fails with ERR_GRPCFD_ADDON_NOT_LOADED and says why`;
    },
  }),
);
