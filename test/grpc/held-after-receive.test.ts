import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** A client and a server whose handler sends one file with each reply. */
async function setUp() {
  const file = fileWith('from the server');
  defer(() => closeSync(file));
  const { address } = await serve({
    unary: grpcfd.handler((_call, fds) => {
      const { url, ref } = fds.sendFd(file);
      return { url, ref };
    }),
  });
  const connections: grpcfd.FdConnection[] = [];
  const client = await dial(address, {
    options: { onConnection: (connection) => connections.push(connection) },
  });
  const held = () => connections[0]?.stats().heldFds;
  return { client, held };
}

for (const name of ['url', 'ref'] as const) {
  test(`close() releases the held descriptor that was received by ${name}, and the duplicates of the user stay open`, async () => {
    const { client, held } = await setUp();
    const fds = grpcfd.callCredentials();
    const reply = await client.unary({}, fds.options());
    const first = await fds.recvFd(String(reply[name]));
    const again = await fds.recvFd(String(reply[name]));
    assert.equal(held(), 1);
    fds.close();
    assert.equal(held(), 0);
    assert.equal(contentOf(first), 'from the server');
    assert.equal(contentOf(again), 'from the server');
  });

  test(`Credentials that are used for many calls hold only the descriptor that the latest call received by ${name}`, async () => {
    const { client, held } = await setUp();
    using fds = grpcfd.callCredentials();
    for (let call = 0; call < 20; call++) {
      const reply = await client.unary({}, fds.options());
      closeSync(await fds.recvFd(String(reply[name])));
      assert.equal(held(), 1);
    }
  });
}

test('After 1,000 calls whose credentials were closed, the connection holds no descriptor', async () => {
  const { client, held } = await setUp();
  for (let call = 0; call < 1000; call++) {
    using fds = grpcfd.callCredentials();
    const reply = await client.unary({}, fds.options());
    closeSync(await fds.recvFd(String(reply['ref'])));
  }
  assert.equal(held(), 0);
});
