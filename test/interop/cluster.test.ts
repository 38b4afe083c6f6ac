/** Go clients of workers of node:cluster that share a path. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { startFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { exchangeAll } from './exchange-all.js';
import { goClient, useWorkplace, withoutGo, workplace } from './peers.js';

trackDescriptors();
useWorkplace();

const LIMIT_MS = 90_000;

for (const policy of ['rr', 'none']) {
  test(`Go clients and the workers of a cluster exchange files in every kind of call, policy ${policy}`, {
    skip: withoutGo,
  }, async () => {
    const directory = temporaryDirectory();
    const { certs, bin } = workplace();
    const args = ['--dir', directory, '--certs', certs, '--bin', bin];
    const env = { NODE_CLUSTER_SCHED_POLICY: policy };
    const server = startFixture('./fixtures/cluster-server.js', import.meta.url, args, env, LIMIT_MS, 'pipe');
    defer(() => void server.kill('SIGKILL'));
    assert.ok(server.stdin && server.stdout);
    server.stderr?.pipe(process.stderr, { end: false });
    const exited = once(server, 'exit');
    const lines = createInterface(server.stdout)[Symbol.asyncIterator]();
    for (let worker = 0; worker < 2; worker++) {
      assert.equal((await lines.next()).value, '{"ready":true}');
    }
    for (const security of ['plaintext', 'tls', 'mtls'] as const) {
      // Each has a connection of its own. In turn, the two get different workers.
      for (let client = 0; client < 2; client++) {
        await exchangeAll(goClient(), security, `unix:${join(directory, `${security}.sock`)}`);
      }
    }
    server.stdin.end();
    assert.deepEqual(await exited, [0, null]);
    assert.deepEqual(readdirSync(directory), []);
  });
}
