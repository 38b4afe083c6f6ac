/** A server whose descriptor table fills up with what Go clients have sent, and what nobody needs any more. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import type { Row } from '../../interop/node/row.js';
import { ServerPeer } from '../../interop/runner/peer.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { goClient, useWorkplace, withoutGo, workplace } from './peers.js';

trackDescriptors();
useWorkplace();

const LIMIT = 1024;
const CLIENTS = 10;
const CALLS = 200;

/** A server with so many numbers for descriptors, of which `used` are in use before it starts. */
async function limitedServer(used: number): Promise<ServerPeer> {
  const file = openSync('/dev/null', 'r');
  const under = ['sh', '-c', `ulimit -n ${LIMIT} && exec "$@"`, 'sh'];
  try {
    const inherited = Array<number>(used).fill(file);
    const server = await ServerPeer.start('node', workplace(), { under, inherited });
    defer(async () => assert.equal(await server.stop(), undefined));
    return server;
  } finally {
    closeSync(file);
  }
}

for (const used of [0, 560]) {
  test(`no call of ${CLIENTS} Go clients with ${CALLS} files each fails, with ${LIMIT} descriptors at most and ${used} used for something else`, {
    skip: withoutGo,
  }, async () => {
    const server = await limitedServer(used);
    const target = server.target('plaintext');
    const row: Omit<Row, 'id'> = {
      target,
      security: 'plaintext',
      rpc: 'unary',
      direction: 'c2s',
      kind: 'UNLINKED',
      fds: 1,
      keep: true,
      receiveMs: 10_000,
    };
    const failures: (string | undefined)[] = [];
    const client = async () => {
      const run = goClient();
      for (let call = 0; call < CALLS; call++) {
        const { ok, reason } = await run(row);
        if (!ok) failures.push(reason);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    assert.deepEqual(failures, []);
  });
}
