import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Connection } from '#src/grpc/connection.js';
import { trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** The first connection loses descriptors before its first byte is read. */
function losingFirst(): grpcfd.FdConnectionOptions & { readonly connections: Connection[] } {
  const connections: Connection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => {
    if (connections.push(connection as Connection) === 1) connections[0]?.inbox.lose();
  };
  return { connections, onConnection } as never;
}

for (const reader of ['server', 'client'] as const) {
  test(`A connection whose ${reader} lost descriptors in the TLS handshake is replaced by a sound one`, async () => {
    const { connections, ...options } = losingFirst();
    const { address } = await serve(
      {
        unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
          const fd = fileWith('reply');
          const { ref } = fds.sendFd(fd);
          closeSync(fd);
          return { content: await fds.recvFd(String(call.request['ref'])).then(contentOf), ref };
        }),
      },
      { security: 'TLS', ...(reader === 'server' && { options }) },
    );
    const client = await dial(address, { security: 'TLS', ...(reader === 'client' && { options }) });
    const fd = fileWith('request');
    const outcomes: unknown[] = [];
    // The first call of a client may still use the connection that its server leaves.
    for (let tries = 0; tries < 2; tries++) {
      using fds = grpcfd.callCredentials();
      const { ref } = fds.sendFd(fd);
      const inbox = async () => {
        const reply = await client.unary({ ref }, fds.options(), new grpc.Metadata({ waitForReady: true }));
        return [reply['content'], contentOf(await fds.recvFd(String(reply['ref'])))];
      };
      outcomes.push(await inbox().catch(String));
      // A server leaves it a moment after its first call.
      await connections[0]?.closed;
    }
    closeSync(fd);
    assert.deepEqual(outcomes.at(-1), ['request', 'reply']);
    assert.equal(connections.length, 2);
  });
}
