/** Descriptors that have come to a server before the calls that claim them, and exceed `maxHeldFds`. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { callHeaders, FRAME, type Frame, message } from '../support/http2-frames.js';
import { dial, type Message, serve, testService } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const endsStream = ({ flags }: Frame): boolean => (flags & 1) === 1;

async function serveReading(security: 'plaintext' | 'TLS', maxHeldFds: number) {
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const { address } = await serve(
    {
      unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => ({
        content: contentOf(await fds.recvFd(String(call.request['file']))),
      })),
    },
    { security, options: { maxHeldFds, onConnection } },
  );
  return { address, connections };
}

for (const security of ['plaintext', 'TLS'] as const) {
  test(`${security}: of 400 calls that start at once, each gets its file from a server that holds 16 idle`, async () => {
    const { address, connections } = await serveReading(security, 16);
    const client = await dial(address, { security });
    const call = async (index: number) => {
      using fds = grpcfd.callCredentials();
      const file = fileWith(`file ${index}`);
      const { ref } = fds.sendFd(file);
      closeSync(file);
      assert.deepEqual(await client.unary({ file: ref }, fds.options()), { content: `file ${index}` });
    };
    await Promise.all(Array.from({ length: 400 }, (_, index) => call(index)));
    assert.equal(connections[0]?.stats().evictedFds, 0);
  });

  test(`${security}: a call gets its file although its HEADERS come more than a second after the file`, async () => {
    const { address, connections } = await serveReading(security, 1);
    const client = await FrameClient.connect(address, security);
    await client.first(FRAME.SETTINGS);
    const files = ['a', 'b', 'c'].map(fileWith);
    client.sendFds(files);
    await within(5_000, 'they came', () => connections[0]?.stats().heldFds === 3);
    // For so long, the event loop of a server may be blocked between the two.
    await delay(1_500);
    for (const [index, file] of files.entries()) {
      const streamId = 2 * index + 1;
      const claim = `id;a.${index}.${index + 1}.${native.inode(file)}`;
      client.write(
        callHeaders(streamId, testService.unary.path, { 'grpcfd-fds': claim }),
        message(streamId, { file: `fd:a:${index}` }),
      );
      await client.until(() => client.of(FRAME.HEADERS, streamId).some(endsStream));
      const [reply] = client.of(FRAME.DATA, streamId);
      assert.deepEqual(JSON.parse(reply?.payload.subarray(5).toString() ?? '{}'), { content: 'abc'[index] });
    }
    for (const file of files) closeSync(file);
  });
}
