// Calls between this package and a stock peer work as calls between two stock peers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { assertFails, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  bind,
  freshAddress,
  type Message,
  SECURITIES,
  type Security,
  shutDown,
  stockChannelCredentials,
  stockServerCredentials,
  TestClient,
  testService,
} from '../support/service.js';

trackDescriptors();

const BIG = 'x'.repeat(1_000_000);

/** Plain handlers of all kinds that send their request back, or fail when the request says so. */
const handlers: grpc.UntypedServiceImplementation = {
  unary(call: grpc.ServerUnaryCall<Message, Message>, callback: grpc.sendUnaryData<Message>) {
    const { code, details } = call.request as { code?: grpc.status; details?: string };
    if (code !== undefined) callback({ code, details: String(details) });
    else callback(null, call.request);
  },
  clientStream(call: grpc.ServerReadableStream<Message, Message>, callback: grpc.sendUnaryData<Message>) {
    const got: unknown[] = [];
    call.on('data', ({ value }: Message) => got.push(value));
    call.on('end', () => callback(null, { got }));
  },
  serverStream(call: grpc.ServerWritableStream<Message, Message>) {
    for (let value = 0; value < Number(call.request['count']); value++) call.write({ value });
    call.end();
  },
  bidi(call: grpc.ServerDuplexStream<Message, Message>) {
    call.on('data', (message: Message) => call.write(message));
    call.on('end', () => call.end());
  },
};

async function pair(ours: 'server' | 'client', security: Security): Promise<TestClient> {
  const server = ours === 'server' ? new grpcfd.Server() : new grpc.Server();
  server.addService(testService, handlers);
  const serverSide = await stockServerCredentials(security);
  const address = freshAddress();
  await bind(server, address, ours === 'server' ? grpcfd.serverCredentials(serverSide) : serverSide);
  defer(() => shutDown(server));
  const channel = await stockChannelCredentials(security);
  return new TestClient(address, ours === 'client' ? grpcfd.channelCredentials(channel) : channel);
}

async function collect(call: grpc.ClientReadableStream<Message>): Promise<unknown[]> {
  const values: unknown[] = [];
  call.on('data', ({ value }: Message) => values.push(value));
  await once(call, 'end');
  return values;
}

for (const security of SECURITIES) {
  for (const ours of ['server', 'client'] as const) {
    const who =
      ours === 'server'
        ? 'a stock client with a server of this package'
        : 'a client of this package with a stock server';

    test(`${security}: ${who} completes calls of all four kinds`, async () => {
      const client = await pair(ours, security);
      assert.deepEqual(await client.unary({ value: 1 }), { value: 1 });
      const { call, reply } = client.clientStream();
      for (const value of [1, 2, 3]) call.write({ value });
      call.end();
      assert.deepEqual(await reply, { got: [1, 2, 3] });
      assert.deepEqual(await collect(client.serverStream({ count: 100 })), [...Array(100).keys()]);
      const bidi = client.bidi();
      for (const value of [1, 2, 3]) bidi.write({ value });
      bidi.end();
      assert.deepEqual(await collect(bidi), [1, 2, 3]);
    });

    test(`${security}: ${who} exchanges big messages, and many at a time`, async () => {
      const client = await pair(ours, security);
      // grpc-js 1.13.0 refuses more than 10 MB at a time on Node 22 and later, also with stock peers at both ends.
      const replies = await Promise.all(Array.from({ length: 8 }, (_, id) => client.unary({ id, BIG })));
      for (const [id, reply] of replies.entries()) assert.deepEqual(reply, { id, BIG });
    });

    test(`${security}: ${who} reports errors, cancellation and deadlines`, async () => {
      const client = await pair(ours, security);
      const status = { code: grpc.status.NOT_FOUND, details: 'nothing ünder that näme' };
      await assert.rejects(client.unary(status), status);
      const call = client.bidi();
      call.write({});
      await once(call, 'data');
      call.cancel();
      const [error] = (await once(call, 'error')) as [grpc.ServiceError];
      assert.equal(error.code, grpc.status.CANCELLED);
      const late = client.clientStream({ deadline: Date.now() + 50 });
      late.call.on('error', () => {});
      assert.equal(((await failure(late.reply)) as grpc.ServiceError).code, grpc.status.DEADLINE_EXCEEDED);
    });
  }
}

test('A handler gets an error when it receives a descriptor from a stock client', async () => {
  const server = new grpcfd.Server();
  let sent: Promise<void> | undefined;
  server.addService(testService, {
    unary: grpcfd.handler(async (_call, fds) => {
      await assertFails(
        fds.recvFd('inode://1/1', { timeoutMs: 10 }),
        'ERR_GRPCFD_TIMEOUT',
        'DEADLINE_EXCEEDED',
      );
      await assertFails(fds.recvFd('fd:nobody:1'), 'ERR_GRPCFD_WRONG_CONNECTION', 'FAILED_PRECONDITION');
      // The descriptor travels with the reply, and the kernel drops it at the client, which reads without room for descriptors.
      sent = fds.sendFd(0).sent;
      return {};
    }),
  });
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials());
  defer(() => shutDown(server));
  const client = new TestClient(address, grpc.credentials.createInsecure());
  assert.deepEqual(await client.unary({}), {});
  await sent;
});

test('A stock server ignores descriptors, and a client that waits for descriptors from it gets an error', async () => {
  const client = await pair('client', 'plaintext');
  const fds = grpcfd.callCredentials();
  const { sent, ref } = fds.sendFd(0);
  assert.deepEqual(await client.unary({ ref }, fds.options()), { ref });
  await sent;
  const waiting = fds.recvFd('inode://1/1');
  client.grpc.close();
  await assertFails(waiting, 'ERR_GRPCFD_CONNECTION_CLOSED', 'UNAVAILABLE');
});
