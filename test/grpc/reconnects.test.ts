import assert from 'node:assert/strict';
import { closeSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Connection } from '#src/grpc/connection.js';
import { defer, descriptorTable, trackDescriptors } from '../support/fd-table.js';
import { Gate } from '../support/gate.js';
import { RETRY } from '../support/policies.js';
import {
  dial,
  freshAddress,
  type Message,
  SECURITIES,
  type Security,
  serve,
  type TestClient,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const receiving = {
  unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => ({
    content: contentOf(await fds.recvFd(String(call.request['file']))),
    token: call.metadata.get('authorization')[0] ?? null,
  })),
};

function newFile(content: string): number {
  const fd = fileWith(content);
  defer(() => closeSync(fd));
  return fd;
}

/** How many descriptors of this process refer to the same file as `fd`. */
function copiesOf(fd: number): number {
  const name = readlinkSync(`/proc/self/fd/${fd}`);
  return [...descriptorTable().values()].filter((target) => target === name).length;
}

function ready(client: TestClient): Promise<void> {
  return new Promise((resolve, reject) => {
    client.grpc.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve()));
  });
}

function waitingForReady(): grpc.Metadata {
  return new grpc.Metadata({ waitForReady: true });
}

const QUICK_RECONNECT = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 200 };

/** A client, and the connections that it made. */
async function watchedClient(address: string, security: Security = 'plaintext', options = {}) {
  const connections: Connection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => {
    connections.push(connection as Connection);
  };
  const clientOptions = { ...QUICK_RECONNECT, ...options };
  const client = await dial(address, { security, options: { onConnection }, clientOptions });
  return { client, connections };
}

/** Kills the first connection when a call asks for its metadata, in the turn in which the stream starts. */
function killing(connections: readonly Connection[]): grpc.CallCredentials {
  return grpc.credentials.createFromMetadataGenerator((_, callback) => {
    if (connections.length === 1) connections[0]?.socket.destroy();
    callback(null, new grpc.Metadata());
  });
}

for (const security of SECURITIES) {
  test(`${security}: a server that restarts between two calls of a client gets the files of both`, async () => {
    const address = freshAddress();
    const { client, connections } = await watchedClient(address, security);
    const fds = grpcfd.callCredentials();
    for (const content of ['first', 'second']) {
      const { server } = await serve(receiving, { security, address });
      const reply = await client.unary(
        { file: fds.sendFd(newFile(content)).ref },
        fds.options(),
        waitingForReady(),
      );
      assert.equal(reply['content'], content);
      server.forceShutdown();
      await connections.at(-1)?.closed;
    }
    assert.equal(connections.length, 2);
    fds.close();
  });

  for (const order of ['before', 'after'] as const) {
    test(`${security}: after a reconnect during a slow token that is composed ${order} the files, the call has the files`, async () => {
      const address = freshAddress();
      const { server } = await serve(receiving, { security, address });
      const { client, connections } = await watchedClient(address, security);
      await ready(client);
      const gate = new Gate();
      const token = grpc.credentials.createFromMetadataGenerator(async (_, callback) => {
        await gate.wait();
        const metadata = new grpc.Metadata();
        metadata.set('authorization', 'token');
        callback(null, metadata);
      });
      const fds = grpcfd.callCredentials();
      const credentials = order === 'before' ? token.compose(fds) : fds.compose(token);
      const { ref, sent } = fds.sendFd(newFile('on the second connection'));
      const reply = client.unary({ file: ref }, { credentials });
      await gate.reached;
      server.forceShutdown();
      await connections[0]?.closed;
      await serve(receiving, { security, address });
      await ready(client);
      gate.open();
      assert.deepEqual(await reply, { content: 'on the second connection', token: 'token' });
      assert.equal(connections.length, 2);
      await sent;
    });
  }

  test(`${security}: when the connection of a call dies before its stream starts, a retry has the files`, async () => {
    const { address } = await serve(receiving, { security });
    const { client, connections } = await watchedClient(address, security, RETRY);
    await ready(client);
    const fds = grpcfd.callCredentials(killing(connections));
    const { ref, sent } = fds.sendFd(newFile('survives'));
    const reply = await client.unary({ file: ref }, fds.options(), waitingForReady());
    assert.equal(reply['content'], 'survives');
    assert.equal(connections.length, 2);
    await sent;
  });

  test(`${security}: without retries, a call whose connection dies before its stream starts fails with UNAVAILABLE and sends nothing`, async () => {
    const { address } = await serve(receiving, { security });
    const { client, connections } = await watchedClient(address, security);
    await ready(client);
    const file = newFile('does not survive');
    const fds = grpcfd.callCredentials(killing(connections));
    const { ref, sent } = fds.sendFd(file);
    await assert.rejects(client.unary({ file: ref }, fds.options()), { code: grpc.status.UNAVAILABLE });
    await assert.rejects(sent, { reason: 'ERR_GRPCFD_CALL_ENDED' });
    await within(2_000, 'the copies are closed', () => copiesOf(file) === 1);
  });
}

test('A call that waits for a server sends its files when the server is there', async () => {
  const address = freshAddress();
  const { client } = await watchedClient(address);
  const fds = grpcfd.callCredentials();
  const { ref, sent } = fds.sendFd(newFile('patient'));
  const reply = client.unary({ file: ref }, fds.options(), waitingForReady());
  await serve(receiving, { address });
  assert.equal((await reply)['content'], 'patient');
  await sent;
});

test('A deadline that passes without a connection releases the file, which has not been sent', async () => {
  const { client } = await watchedClient(freshAddress());
  const file = newFile('nowhere');
  const fds = grpcfd.callCredentials();
  const { ref, sent } = fds.sendFd(file);
  await within(2_000, 'the copies are closed', () => copiesOf(file) === 2);
  const options = fds.options({ deadline: Date.now() + 50 });
  await assert.rejects(client.unary({ file: ref }, options, waitingForReady()), { code: 4 });
  await assert.rejects(sent, { reason: 'ERR_GRPCFD_CALL_ENDED' });
  await within(2_000, 'the copies are closed', () => copiesOf(file) === 1);
});

test('A call that is cancelled before it got a connection releases its file', async () => {
  const { client } = await watchedClient(freshAddress());
  const file = newFile('nowhere');
  const fds = grpcfd.callCredentials();
  const { sent } = fds.sendFd(file);
  const { call, reply } = client.clientStream(fds.options());
  call.cancel();
  await assert.rejects(reply, { code: grpc.status.CANCELLED });
  await assert.rejects(sent, { reason: 'ERR_GRPCFD_CALL_ENDED' });
  await within(2_000, 'the copies are closed', () => copiesOf(file) === 1);
});

test('A call without a server fails at once and releases its file', async () => {
  const { client } = await watchedClient(freshAddress());
  const file = newFile('nowhere');
  const fds = grpcfd.callCredentials();
  const { sent } = fds.sendFd(file);
  await assert.rejects(client.unary({}, fds.options()), { code: grpc.status.UNAVAILABLE });
  await assert.rejects(sent, { reason: 'ERR_GRPCFD_CALL_ENDED' });
  await within(2_000, 'the copies are closed', () => copiesOf(file) === 1);
});

test('The first response headers of a stream release its attachments, and its end closes its received descriptors', async () => {
  const received = new Gate();
  const finish = new Gate();
  const { address } = await serve({
    serverStream: grpcfd.handler(async (call: grpc.ServerWritableStream<Message, Message>, fds) => {
      closeSync(await fds.recvFd(String(call.request['file']), { keep: true }));
      await received.wait();
      call.sendMetadata(new grpc.Metadata());
      await finish.wait();
    }),
  });
  const { client } = await watchedClient(address);
  const file = newFile('content');
  const fds = grpcfd.callCredentials();
  const call = client.serverStream({ file: fds.sendFd(file).ref }, fds.options());
  await received.reached;
  await within(2_000, "the test's, the one for another attempt, the server's", () => copiesOf(file) === 3);
  const headers = new Promise((resolve) => call.once('metadata', resolve));
  received.open();
  await headers;
  await within(2_000, "the test's and the server's", () => copiesOf(file) === 2);
  finish.open();
  for await (const message of call) assert.fail(`unexpected: ${message}`);
  while (copiesOf(file) > 1) await new Promise((resolve) => setImmediate(resolve));
});

test('A file that two calls carry is kept until neither call can have another attempt', async () => {
  const gates = [new Gate(), new Gate()];
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>) => {
      await gates[Number(call.request['gate'])]?.wait();
      return {};
    }),
  });
  const { client } = await watchedClient(address);
  await ready(client);
  const file = newFile('content');
  const fds = grpcfd.callCredentials();
  fds.sendFd(file);
  const replies = [0, 1].map((gate) => client.unary({ gate }, fds.options()));
  await Promise.all(gates.map(({ reached }) => reached));
  await within(
    2_000,
    "the test's, the one for other attempts, and the server's for each call",
    () => copiesOf(file) === 4,
  );
  for (const [index, left] of [3, 1].entries()) {
    gates[index]?.open();
    await replies[index];
    await within(2_000, 'the copies are closed', () => copiesOf(file) === left);
  }
});

test('A descriptor that is sent on a closed connection is refused, and its duplicate is closed', async () => {
  const { address } = await serve(receiving);
  const { client, connections } = await watchedClient(address);
  await ready(client);
  client.grpc.close();
  const [connection] = connections;
  await connection?.closed;
  const file = newFile('too late');
  await assert.rejects(async () => connection?.sendFd(file).sent, { reason: 'ERR_GRPCFD_CONNECTION_CLOSED' });
  await within(2_000, 'the copies are closed', () => copiesOf(file) === 1);
});
