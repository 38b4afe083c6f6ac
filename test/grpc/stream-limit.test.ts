/** More calls with descriptors than the server allows at a time (`grpc.max_concurrent_streams`). */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { trackDescriptors } from '../support/fd-table.js';
import { conversation, converse, KINDS, type Kind, readingService } from '../support/kinds.js';
import { type Limited, serveLimited } from '../support/limited.js';
import { dial, stockChannelCredentials, TestClient } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

const SECURITIES = ['plaintext', 'TLS'] as const;

/** Each call sends a file of its own, and its reply has what the server has read from it. */
async function callWithFile(client: TestClient, kind: Kind, content: string): Promise<void> {
  using fds = grpcfd.callCredentials();
  const file = fileWith(content);
  const { ref, sent } = fds.sendFd(file);
  closeSync(file);
  const [reply] = await converse(client, kind, [{ file: ref }], fds.options());
  assert.equal(reply?.['content'], content);
  await sent;
}

async function callWithoutFile(client: TestClient, kind: Kind, text: string): Promise<void> {
  assert.deepEqual(await converse(client, kind, [{ text }]), [{ text }]);
}

/** Answers after a turn of the event loop, and keeps the most descriptors that were held at any time. */
class Watching {
  mostHeld = 0;
  server: Limited | undefined;

  readonly handlers = conversation(async (request, fds) => {
    for (const connection of this.server?.connections ?? []) {
      this.mostHeld = Math.max(this.mostHeld, connection.stats().heldFds);
    }
    await new Promise((resolve) => setImmediate(resolve));
    if (request['file'] === undefined) return { text: request['text'] };
    return { content: contentOf(await fds.recvFd(String(request['file']))) };
  });

  async serve(...[streams, options]: [number, Parameters<typeof serveLimited>[2]]): Promise<Limited> {
    this.server = await serveLimited(streams, this.handlers, options);
    return this.server;
  }
}

for (const security of SECURITIES) {
  test(`${security}: of 1,500 calls at once, each gets its own file, and none arrives before its call`, async () => {
    const watching = new Watching();
    const server = await watching.serve(20, { security });
    const client = await dial(server.address, { security });
    // The client knows the limit from the SETTINGS of the server.
    await callWithoutFile(client, 'unary', 'first');
    await Promise.all(
      Array.from({ length: 1_500 }, (_, index) => callWithFile(client, 'unary', `file ${index}`)),
    );
    assert.equal(server.connections.length, 1);
    assert.equal(server.receivedFds, 1_500);
    assert.ok(watching.mostHeld <= 20, `${watching.mostHeld} descriptors were held`);
    assert.equal(server.connections[0]?.stats().evictedFds, 0);
  });

  for (const kind of KINDS) {
    test(`${security}, ${kind}: calls with files and calls without wait for a stream together, and none fails`, async () => {
      const watching = new Watching();
      const server = await watching.serve(3, { security });
      const client = await dial(server.address, { security });
      await Promise.all(
        Array.from({ length: 60 }, (_, index) => [
          callWithFile(client, kind, `file ${index}`),
          callWithoutFile(client, kind, `call ${index}`),
        ]).flat(),
      );
      assert.equal(server.receivedFds, 60);
      assert.ok(watching.mostHeld <= 3, `${watching.mostHeld} descriptors were held`);
    });
  }

  test(`${security}: calls with tokens, which may come late, wait as the others do`, async () => {
    const token = (late: boolean) =>
      grpc.credentials.createFromMetadataGenerator(async (_, callback) => {
        if (late) await delay(1);
        callback(null, new grpc.Metadata());
      });
    const watching = new Watching();
    const server = await watching.serve(2, { security });
    const client = await dial(server.address, { security });
    const withToken = async (index: number) => {
      const text = `call ${index}`;
      const credentials = token(index % 2 === 0);
      assert.deepEqual(await converse(client, 'unary', [{ text }], { credentials }), [{ text }]);
      using fds = grpcfd.callCredentials(credentials);
      const file = fileWith(text);
      const { ref } = fds.sendFd(file);
      closeSync(file);
      assert.deepEqual(await converse(client, 'unary', [{ file: ref }], fds.options()), [{ content: text }]);
    };
    await Promise.all(
      Array.from({ length: 30 }, (_, index) => [
        withToken(index),
        callWithFile(client, 'unary', `file ${index}`),
      ]).flat(),
    );
    assert.equal(server.receivedFds, 60);
    assert.ok(watching.mostHeld <= 2, `${watching.mostHeld} descriptors were held`);
  });

  test(`${security}: the calls of two channels with one subchannel wait for its streams together`, async () => {
    const watching = new Watching();
    const server = await watching.serve(2, { security });
    const credentials = grpcfd.channelCredentials(await stockChannelCredentials(security));
    const clients = [
      new TestClient(server.address, credentials),
      new TestClient(server.address, credentials),
    ] as const;
    await Promise.all(
      Array.from({ length: 40 }, (_, index) => [
        callWithFile(clients[0], 'unary', `file ${index}`),
        callWithoutFile(clients[1], 'unary', `call ${index}`),
        callWithFile(clients[1], 'bidi', `file ${index}`),
      ]).flat(),
    );
    assert.equal(server.connections.length, 1);
    assert.equal(server.receivedFds, 80);
    assert.ok(watching.mostHeld <= 2, `${watching.mostHeld} descriptors were held`);
  });
}

test('Replies with files reach calls that have waited for a stream', async () => {
  const server = await serveLimited(2, readingService('ref'));
  const client = await dial(server.address);
  await Promise.all(
    KINDS.flatMap((kind) =>
      Array.from({ length: 10 }, async (_, index) => {
        using fds = grpcfd.callCredentials();
        const file = fileWith(`${kind} ${index}`);
        const { ref } = fds.sendFd(file);
        closeSync(file);
        const [reply] = await converse(client, kind, [{ file: ref }], fds.options());
        assert.equal(contentOf(await fds.recvFd(String(reply?.['file']))), `${kind} ${index}`.toUpperCase());
      }),
    ),
  );
});
