/** The time until the first reply of a new connection, and the time of an import. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Side } from '../lib/pairs.js';
import { Rig } from '../lib/rig.js';
import type { Suite } from '../lib/suite.js';

const CONNECTIONS = 20;

export async function start(suite: Suite): Promise<void> {
  await firstReply(suite);
  await suite.compare({
    name: 'import of grpc-js, with this package and without',
    ours: importing(['@grpc/grpc-js', 'grpcfd']),
    theirs: importing(['@grpc/grpc-js']),
    metric: { unit: 'ms', count: 1, as: 'each' },
    rounds: 11,
    warmUps: 1,
  });
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
function importing(modules: readonly string[]): Side {
  const script = fileURLToPath(new URL('../peers/import.js', import.meta.url));
  return {
    run: async () => {
      const child = spawn(process.execPath, [script, ...modules], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
      return Number(output);
    },
  };
}
