/** Calls that run at once, each with credentials of its own that are closed when it is done, and a Go server that sends one file in all of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { trackDescriptors } from '../support/fd-table.js';
import { goServer, NodeClient, useWorkplace, withoutGo } from './peers.js';

trackDescriptors();
useWorkplace();

const AT_ONCE = 4;
const ROUNDS = 50;

test('every call gets the namespace file that a Go server sends in each of them', {
  skip: withoutGo,
}, async () => {
  const server = await goServer();
  const client = new NodeClient(server.target('plaintext'), 'plaintext');
  const call = async () => {
    using fds = grpcfd.callCredentials();
    const { files } = await client.unary({ order: { kind: 'NETNS', count: 1 }, receiveMs: 10_000 }, fds);
    try {
      await using file = await fds.recvFile(files?.[0]?.url ?? '', { timeoutMs: 2_000 });
      assert.equal(file.url, files?.[0]?.url);
      return 'received';
    } catch (error) {
      return (error as grpcfd.GrpcFdError).reason;
    }
  };
  // The client knows what its server is from the first response on.
  await call();
  const outcomes: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    outcomes.push(...(await Promise.all(Array.from({ length: AT_ONCE }, call))));
  }
  assert.deepEqual(outcomes, Array(ROUNDS * AT_ONCE).fill('received'));
  assert.equal(client.connections.length, 1);
  assert.equal(client.connections[0]?.stats().heldFds, 0);
});
