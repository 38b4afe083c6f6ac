/** Clients that send a file again with every refresh, to a server that restarts in between. */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import type { Security } from '../../interop/node/security.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { shutDown } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';
import { goClient, goServer, NodeClient, serveUnary, type Unary, useWorkplace, withoutGo } from './peers.js';

trackDescriptors();
useWorkplace();

const SECURITIES: readonly Security[] = ['plaintext', 'tls', 'mtls'];
const REFRESHES = 3;

for (const security of SECURITIES) {
  test(`${security}: a Go client sends files again to a server of this package that restarted`, {
    skip: withoutGo,
  }, async () => {
    const unary: Unary = async ({ request }, fds) => {
      for (const { url, evidence } of request.files ?? []) {
        await using file = await fds.recvFile(url);
        assert.equal(await file.readFile('utf8'), evidence);
      }
      return { outcome: { received: 1, failures: [] } };
    };
    const run = goClient();
    const first = await serveUnary(security, unary);
    const { target } = first;
    const row = { target, security, rpc: 'unary', direction: 'c2s', kind: 'UNLINKED', fds: 1 } as const;
    const refresh = async () => {
      const result = await run({ ...row, keep: true, times: REFRESHES, receiveMs: 10_000 });
      assert.equal(result.reason, undefined);
    };
    await refresh();
    await shutDown(first.server);
    const second = await serveUnary(security, unary, target);
    await refresh();
    for (const { connections } of [first, second]) {
      assert.equal(connections.length, 1);
      assert.equal(connections[0]?.stats().receivedFds, REFRESHES);
    }
    second.server.forceShutdown();
  });

  test(`${security}: a client of this package sends files again to a Go server that restarted`, {
    skip: withoutGo,
  }, async () => {
    const directory = temporaryDirectory();
    const first = await goServer({ directory });
    const client = new NodeClient(first.target(security), security);
    const file = await open(join(directory, 'file'), 'w+');
    defer(() => file.close());
    await file.writeFile('refreshed');
    const refresh = async () => {
      for (let i = 0; i < REFRESHES; i++) {
        using fds = grpcfd.callCredentials();
        const { url } = fds.sendFile(file);
        const request = { files: [{ url, kind: 'UNLINKED', evidence: 'refreshed' }] } as const;
        const { outcome } = await client.unary({ ...request, receiveMs: 10_000 }, fds);
        assert.deepEqual(outcome, { received: 1, failures: [] });
      }
    };
    await refresh();
    await first.stop();
    await goServer({ directory });
    await refresh();
    assert.equal(client.connections.length, 2);
  });
}
