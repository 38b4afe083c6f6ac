/** The metadata by which a client learns that its server is this package, and so which descriptors it may close. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, SECURITIES, serve, TestClient, testService } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** A server that sends the same file with every reply, and names it by reference. */
function sameFile(fd: number) {
  return {
    unary: grpcfd.handler((_call: grpc.ServerUnaryCall<Message, Message>, fds) => ({
      ref: fds.sendFd(fd).ref,
    })),
  };
}

for (const security of SECURITIES) {
  test(`${security}: a file that a server of this package sends many times can be received by each of its references`, async () => {
    const fd = fileWith('the same');
    const { address } = await serve(sameFile(fd), { security });
    const client = await dial(address, { security });
    const calls = [];
    for (let i = 0; i < 20; i++) {
      const fds = grpcfd.callCredentials();
      const { ref } = await client.unary({}, fds.options());
      calls.push({ fds, ref: String(ref) });
    }
    for (const { fds, ref } of calls) {
      assert.equal(contentOf(await fds.recvFd(ref)), 'the same');
      fds.close();
    }
    closeSync(fd);
  });
}

test('A file that a server sends in several calls at a time can be received by each reference, also on a new connection', async () => {
  const fd = fileWith('the same');
  const { address } = await serve(sameFile(fd));
  const client = await dial(address);
  const calls = Array.from({ length: 20 }, async () => {
    const fds = grpcfd.callCredentials();
    return { fds, ref: String((await client.unary({}, fds.options()))['ref']) };
  });
  for (const { fds, ref } of await Promise.all(calls)) {
    assert.equal(contentOf(await fds.recvFd(ref)), 'the same');
    fds.close();
  }
  closeSync(fd);
});

/** The metadata keys of the response and of the status that a client sees. */
function seenBy(
  client: TestClient,
  options: grpc.CallOptions,
): Promise<{ headers: string[]; status: string[] }> {
  const { path, requestSerialize, responseDeserialize } = testService.unary;
  return new Promise((resolve) => {
    let headers: string[] = [];
    const call = client.grpc.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      {},
      new grpc.Metadata(),
      options,
      () => {},
    );
    call.on('metadata', (metadata: grpc.Metadata) => {
      headers = Object.keys(metadata.getMap()).sort();
    });
    call.on('status', ({ metadata }: grpc.StatusObject) => {
      resolve({ headers, status: Object.keys(metadata.getMap()).sort() });
    });
  });
}

for (const outcome of ['a reply', 'an error']) {
  test(`The metadata key of the server is not shown to users or sent to clients without call credentials, with ${outcome}`, async () => {
    const { address } = await serve({
      unary: grpcfd.handler(() => {
        if (outcome === 'an error') throw new Error('no');
        return {};
      }),
    });
    const stock = new TestClient(address, grpc.credentials.createInsecure());
    const client = await dial(address);
    using fds = grpcfd.callCredentials();
    using more = grpcfd.callCredentials();
    const usual = await seenBy(stock, {});
    assert.deepEqual(await seenBy(client, {}), usual);
    assert.deepEqual(await seenBy(client, fds.options()), usual);
    assert.deepEqual(await seenBy(client, fds.options(more.options())), usual);
  });
}

test('The metadata key of the server is not shown to users in a call of a method that does not exist', async () => {
  const { address } = await serve({});
  const client = await dial(address);
  using fds = grpcfd.callCredentials();
  const error = (await failure(client.unary({}, fds.options()))) as grpc.ServiceError;
  assert.equal(error.code, grpc.status.UNIMPLEMENTED);
  assert.deepEqual(error.metadata.get('grpcfd-fds'), []);
});
