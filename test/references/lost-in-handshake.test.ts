import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { ARRIVED, type SocketHandle } from '#src/native/types.js';
import { trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

// The client sends the first bytes of a TLS connection, the server the second.
for (const [reader, read] of [
  ['server', 1],
  ['client', 2],
] as const) {
  test(`A connection whose ${reader} lost descriptors in the TLS handshake is replaced by a sound one`, async (t) => {
    const { receive } = native.SocketHandle.prototype;
    let reads = 0;
    t.mock.method(
      native.SocketHandle.prototype,
      'receive',
      function (this: SocketHandle, buffer: Uint8Array, offset: number, arrived: Int32Array) {
        const bytes = receive.call(this, buffer, offset, arrived);
        if (bytes > 0 && ++reads === read) arrived[ARRIVED.TRUNCATED] = 1;
        return bytes;
      },
    );
    const { address } = await serve(
      {
        unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
          const fd = fileWith('reply');
          const { ref } = fds.sendFd(fd);
          closeSync(fd);
          return { content: await fds.recvFd(String(call.request['ref'])).then(contentOf), ref };
        }),
      },
      { security: 'TLS' },
    );
    const client = await dial(address, { security: 'TLS' });
    const fd = fileWith('request');
    const outcomes: unknown[] = [];
    // The first call may still use the connection that is closing.
    for (let tries = 0; tries < 2; tries++) {
      using fds = grpcfd.callCredentials();
      const { ref } = fds.sendFd(fd);
      const inbox = async () => {
        const reply = await client.unary({ ref }, fds.options(), new grpc.Metadata({ waitForReady: true }));
        return [reply['content'], contentOf(await fds.recvFd(String(reply['ref'])))];
      };
      outcomes.push(await inbox().catch(String));
    }
    closeSync(fd);
    assert.deepEqual(outcomes.at(-1), ['request', 'reply']);
  });
}
