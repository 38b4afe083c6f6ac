/** A stock grpc-go peer: calls work, and receives from it and sends to it fail with a clear error at this end. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import type { File } from '../../interop/node/protocol.js';
import type { Security } from '../../interop/node/security.js';
import { assertFails } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { fileWith } from '../support/temporary.js';
import { goClient, goServer, NodeClient, serveUnary, useWorkplace, withoutGo } from './peers.js';

trackDescriptors();
useWorkplace();

const SECURITIES: readonly Security[] = ['plaintext', 'tls', 'mtls'];
const PLAIN = { plain: true };

function sendFile(fds: grpcfd.FdTransceiver): { file: File; sent: Promise<void> } {
  const fd = fileWith('evidence');
  const { url, sent } = fds.sendFd(fd);
  closeSync(fd);
  return { file: { url, kind: 'UNLINKED', evidence: 'evidence' }, sent };
}

for (const security of SECURITIES) {
  const row = { security, rpc: 'unary', kind: 'UNLINKED', fds: 1 } as const;

  test(`${security}: a server waits for the file of a stock Go client until timeoutMs`, {
    skip: withoutGo,
  }, async () => {
    const { target } = await serveUnary(security, async ({ request }, fds) => {
      const receiving = fds.recvFile(request.files?.[0]?.url ?? '', { timeoutMs: 50 });
      await assertFails(receiving, 'ERR_GRPCFD_TIMEOUT', 'DEADLINE_EXCEEDED');
      return { outcome: { received: 1, failures: [] } };
    });
    const run = goClient(PLAIN);
    // Twice on one connection, which stays open.
    const calls = { ...row, target, direction: 'c2s', times: 2, receiveMs: 10_000 } as const;
    assert.equal((await run(calls)).reason, undefined);
  });

  test(`${security}: descriptors that a server sends to a stock Go client are lost at that client only`, {
    skip: withoutGo,
  }, async () => {
    const { target } = await serveUnary(security, (_call, fds) => ({ files: [sendFile(fds).file] }));
    const run = goClient(PLAIN);
    const { reason } = await run({ ...row, target, direction: 's2c', receiveMs: 10_000 });
    assert.match(reason ?? '', /this connection carries no fds/);
  });

  test(`${security}: a client waits for the file of a stock Go server until timeoutMs, or close()`, {
    skip: withoutGo,
  }, async () => {
    const client = new NodeClient((await goServer(PLAIN)).target(security), security);
    using fds = grpcfd.callCredentials();
    const { files } = await client.unary({ order: { kind: 'UNLINKED', count: 1 }, receiveMs: 10_000 }, fds);
    const url = files?.[0]?.url ?? '';
    await assertFails(fds.recvFile(url, { timeoutMs: 50 }), 'ERR_GRPCFD_TIMEOUT', 'DEADLINE_EXCEEDED');
    const waiting = fds.recvFile(url);
    fds.close();
    await assertFails(waiting, 'ERR_GRPCFD_CLOSED', 'CANCELLED');
  });

  test(`${security}: a stock Go server answers calls that come with files`, { skip: withoutGo }, async () => {
    const client = new NodeClient((await goServer(PLAIN)).target(security), security);
    using fds = grpcfd.callCredentials();
    const { file, sent } = sendFile(fds);
    const { outcome } = await client.unary({ files: [file], receiveMs: 100 }, fds);
    await sent;
    assert.equal(outcome?.received, 0);
    assert.match(outcome.failures[0] ?? '', /this connection carries no fds/);
  });
}

test('A server waits for the file of a stock Go client until the call ends', {
  skip: withoutGo,
}, async () => {
  const failures: Promise<unknown>[] = [];
  const { target } = await serveUnary('plaintext', async ({ request }, fds) => {
    const receiving = fds.recvFile(request.files?.[0]?.url ?? '');
    failures.push(assertFails(receiving, 'ERR_GRPCFD_CALL_ENDED', 'CANCELLED'));
    await receiving;
    return {};
  });
  const row = { security: 'plaintext', rpc: 'unary', direction: 'c2s', kind: 'UNLINKED', fds: 1 } as const;
  const { ok } = await goClient(PLAIN)({ ...row, target, receiveMs: 1 });
  assert.equal(ok, false);
  assert.equal(failures.length, 1);
  await failures[0];
});
