import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Connection } from '#src/grpc/connection.js';
import { runFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, SECURITIES, serve } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const LOST = 'ERR_GRPCFD_DESCRIPTORS_LOST';

test('A client that lost descriptors gets an error, and uses a new connection for its next calls', async () => {
  const { address } = await serve({
    unary: grpcfd.handler((call: grpc.ServerUnaryCall<Message, Message>, fds) => ({
      refs: Array.from({ length: Number(call.request['count']) }, (_, index) => {
        const fd = fileWith(`file ${index}`);
        const { ref } = fds.sendFd(fd);
        closeSync(fd);
        return ref;
      }),
    })),
    bidi: (call: grpc.ServerDuplexStream<Message, Message>) =>
      void call.on('data', (message) => call.write(message)).on('end', () => call.end()),
  });
  const { code, stdout, stderr } = await runFixture('./fixtures/full-client.js', import.meta.url, [address]);
  assert.deepEqual([code, stderr], [0, '']);
  const { before, during, after, echo, connections } = JSON.parse(stdout) as Record<string, string[]>;
  const all = Array.from({ length: 10 }, (_, index) => `file ${index}`);
  assert.deepEqual(before, all);
  assert.equal(during?.at(-1), LOST);
  for (const [index, outcome] of (during ?? []).entries()) {
    assert.ok(outcome === `file ${index}` || outcome === LOST, `${index}: ${outcome}`);
  }
  assert.deepEqual(after, all);
  assert.deepEqual([echo, connections], [{ n: 2 }, 2], 'the call that ran went on');
});

for (const security of SECURITIES) {
  test(`${security}: a client that lost descriptors leaves the connection without ending the call that runs on it`, async () => {
    const { address } = await serve(
      {
        unary: grpcfd.handler(() => ({})),
        bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>) => {
          for await (const message of call) call.write(message);
        }),
      },
      { security },
    );
    const connections: Connection[] = [];
    const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection as Connection);
    const client = await dial(address, { security, options: { onConnection } });
    const running = client.bidi();
    running.write({ n: 1 });
    await once(running, 'data');
    // This simulates that the kernel dropped descriptors, as it really does in the test above.
    connections[0]?.onDescriptorsLost?.();
    while (connections.length < 2) await client.unary({});
    assert.equal(connections[0]?.isOpen, true);
    running.write({ n: 2 });
    assert.deepEqual(await once(running, 'data'), [{ n: 2 }]);
    running.end();
    await once(running.resume(), 'end');
    await connections[0]?.closed;
    assert.equal(connections[1]?.isOpen, true);
  });
}
