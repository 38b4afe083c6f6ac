/** More calls with descriptors than a Go server allows at a time (`grpc.MaxConcurrentStreams`). */
import assert from 'node:assert/strict';
import { closeSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Security } from '../../interop/node/security.js';
import { trackDescriptors } from '../support/fd-table.js';
import { fileWith } from '../support/temporary.js';
import { goServer, NodeClient, useWorkplace, withoutGo } from './peers.js';

trackDescriptors();
useWorkplace();

const SECURITIES: readonly Security[] = ['plaintext', 'mtls'];

/** Sends a new file, and has the server read it. */
async function callWithFile(client: NodeClient, content: string, deadlineMs = 60_000): Promise<void> {
  using fds = grpcfd.callCredentials();
  const file = fileWith(content);
  const { url } = fds.sendFd(file);
  closeSync(file);
  const files = [{ url, kind: 'UNLINKED', evidence: content } as const];
  const deadline = Date.now() + deadlineMs;
  const { outcome } = await client.unary({ files, receiveMs: 10_000 }, fds, { deadline });
  assert.deepEqual(outcome, { received: 1, failures: [] });
}

for (const security of SECURITIES) {
  test(`${security}: a Go server that allows two streams gets the file of each of 300 calls`, {
    skip: withoutGo,
  }, async () => {
    const server = await goServer({ maxStreams: 2 });
    const client = new NodeClient(server.target(security), security);
    let answered = 0;
    let mostAhead = 0;
    const calls = Array.from({ length: 300 }, async (_, index) => {
      await callWithFile(client, `file ${index}`);
      answered++;
      mostAhead = Math.max(mostAhead, (client.connections[0]?.stats().sentFds ?? 0) - answered);
    });
    await Promise.all(calls);
    assert.ok(mostAhead <= 2, `${mostAhead} descriptors were ahead of their calls`);
    assert.equal(client.connections.length, 1);
    assert.equal(client.connections[0]?.stats().sentFds, 300);
  });

  test(`${security}: a Go server gets nothing from calls that meet their deadline while they wait for a stream`, {
    skip: withoutGo,
  }, async () => {
    const server = await goServer({ maxStreams: 1 });
    const client = new NodeClient(server.target(security), security);
    const occupant = client.stub.bidi(client.metadata, {});
    const answered = new Promise((resolve) => occupant.once('data', resolve));
    occupant.write({ order: { kind: 'NETNS', count: 0 }, receiveMs: 1 });
    await answered;
    const held = () => readdirSync(`/proc/${server.pid}/fd`).length;
    const before = held();
    const code = grpc.status.DEADLINE_EXCEEDED;
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        assert.rejects(callWithFile(client, `file ${index}`, 50), { code }),
      ),
    );
    // The server answers on its stream: whatever was sent before is there.
    const again = new Promise((resolve) => occupant.once('data', resolve));
    occupant.write({ order: { kind: 'NETNS', count: 0 }, receiveMs: 1 });
    await again;
    await delay(10);
    assert.equal(held(), before);
    assert.equal(client.connections[0]?.stats().sentFds, 0);
    occupant.end();
    await callWithFile(client, 'after');
  });
}
