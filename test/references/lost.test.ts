import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { runFixture, startFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, freshAddress, type Message, type Security, serve } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const LOST = 'ERR_GRPCFD_DESCRIPTORS_LOST';

for (const security of ['plaintext', 'mutual TLS'] as Security[]) {
  test(`${security}: a client that lost descriptors is told so, and takes a new connection for its next calls`, async () => {
    const { address } = await serve(
      {
        unary: grpcfd.handler((call: grpc.ServerUnaryCall<Message, Message>, fds) => ({
          refs: Array.from({ length: Number(call.request['count']) }, (_, index) => {
            const fd = fileWith(`file ${index}`);
            const { ref } = fds.sendFd(fd);
            closeSync(fd);
            return ref;
          }),
        })),
        bidi: (call: grpc.ServerDuplexStream<Message, Message>) => void call.on('data', (message) => call.write(message)).on('end', () => call.end()),
      },
      { security },
    );
    const { code, stdout, stderr } = await runFixture('./fixtures/full-client.js', import.meta.url, [
      address,
      security,
    ]);
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
}
