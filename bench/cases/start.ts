/** The time until the first reply of a new connection, and the time of an import. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describeMachine } from '../lib/machine.js';
import type { Side } from '../lib/pairs.js';
import { Rig, temporaryDirectory } from '../lib/rig.js';
import type { Suite } from '../lib/suite.js';

const CONNECTIONS = 20;
const MOST_MS_OF_IMPORT = 10;

export async function start(suite: Suite): Promise<void> {
  await firstReply(suite);
  await importOnTop(suite);
}

async function importOnTop(suite: Suite): Promise<void> {
  const directory = await temporaryDirectory();
  try {
    const script = await install(directory);
    const { ours, theirs } = await suite.compare({
      name: 'import of grpc-js, with this package and without',
      ours: importing(script, ['@grpc/grpc-js', 'grpcfd']),
      theirs: importing(script, ['@grpc/grpc-js']),
      metric: { unit: 'ms', count: 1, as: 'each' },
      rounds: 21,
      warmUps: 1,
    });
    const onTop = (ours.seconds - theirs.seconds) * 1e3;
    suite.count('import on top of grpc-js, against its limit', 'ms', onTop, MOST_MS_OF_IMPORT);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function firstReply(suite: Suite): Promise<void> {
  await using ours = await Rig.start('ours');
  await using stock = await Rig.start('stock');
  await suite.compare({
    name: 'connect to first reply',
    ours: ours.side((client) => client.ask('firstReplies', CONNECTIONS)),
    theirs: stock.side((client) => client.ask('firstReplies', CONNECTIONS)),
    metric: { unit: 'µs', count: CONNECTIONS, as: 'each' },
    rounds: 15,
  });
}

/** Each run has a new process, because a process loads a module only once. */
function importing(script: string, modules: readonly string[]): Side {
  return {
    run: async () => {
      const child = spawn(process.execPath, [script, ...modules], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
      return Number(output);
    },
  };
}

/** A directory in which the package is installed as it is published, with the grpc-js of this clone. Returns the script that imports. */
async function install(directory: string): Promise<string> {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const modules = join(directory, 'node_modules');
  const own = join(modules, 'grpcfd');
  await mkdir(own, { recursive: true });
  execFileSync(process.execPath, [join(root, 'scripts/package.mjs')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const tarball = join(root, `build/grpcfd-${describeMachine().grpcfd}.tgz`);
  execFileSync('tar', ['-xzf', tarball, '--strip-components=1', '-C', own]);
  await mkdir(join(modules, '@grpc'));
  await symlink(join(root, 'node_modules/@grpc/grpc-js'), join(modules, '@grpc/grpc-js'));
  const script = join(directory, 'import.mjs');
  await copyFile(fileURLToPath(new URL('../peers/import.js', import.meta.url)), script);
  return script;
}
