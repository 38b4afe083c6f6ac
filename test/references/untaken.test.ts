import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { startFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { Gate } from '../support/gate.js';
import { pipeTo } from '../support/pipe.js';
import {
  dial,
  freshAddress,
  type Message,
  serve,
  type TestHandlers,
  testService,
  withResolvers,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** Sends one end of a pipe. `closed()` resolves when all descriptors of that end are closed, which the other end shows. */
function sendPipe(fds: grpcfd.FdTransceiver): { ref: string; closed: () => Promise<void> } {
  const { given, end } = pipeTo((into) => fds.sendFd(into));
  return { ref: given.ref, closed: async () => assert.equal(await end(), '') };
}

/** A server and its connections. */
async function watchedServer(handlers: TestHandlers, address = freshAddress()) {
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const { server } = await serve(handlers, { address, options: { onConnection } });
  return { server, address, connections };
}

/** A handler that waits for the gate, and then calls `then`. */
function gatedService(then: () => Message | Promise<Message> = () => ({})) {
  const gate = new Gate();
  const unary = grpcfd.handler(async () => {
    await gate.wait();
    return then();
  });
  return { gate, handlers: { unary } };
}

for (const deadline of [undefined, 200]) {
  const what = deadline === undefined ? 'the handler replies' : 'the deadline of the call passes';
  test(`A descriptor that the handler did not receive is closed when ${what}`, async () => {
    const { gate, handlers } = gatedService();
    const { address, connections } = await watchedServer(handlers);
    const client = await dial(address);
    const fds = grpcfd.callCredentials();
    const { closed } = sendPipe(fds);
    const call = client.unary(
      {},
      fds.options(deadline === undefined ? {} : { deadline: Date.now() + deadline }),
    );
    await gate.reached;
    assert.deepEqual(
      connections.map((connection) => connection.stats().claimedFds),
      [1],
    );
    if (deadline === undefined) gate.open();
    await call.catch(({ code }) => assert.equal(code, grpc.status.DEADLINE_EXCEEDED));
    await closed();
    assert.equal(connections[0]?.stats().heldFds, 0);
    gate.open();
  });
}

test('A descriptor that the handler did not receive is closed when the handler fails', async () => {
  const { address, connections } = await watchedServer({
    unary: grpcfd.handler(() => Promise.reject(new Error('no'))),
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const { closed } = sendPipe(fds);
  await assert.rejects(client.unary({}, fds.options()), { code: grpc.status.UNKNOWN });
  await closed();
  assert.equal(connections[0]?.stats().heldFds, 0);
});

test('A descriptor that the handler did not receive is closed when the client cancels', async () => {
  const { address, connections } = await watchedServer({
    bidi: (call: grpc.ServerDuplexStream<Message, Message>) => void call.write({}),
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const { closed } = sendPipe(fds);
  const call = client.bidi(fds.options());
  call.on('error', () => {});
  await once(call, 'data');
  call.cancel();
  await closed();
  assert.equal(connections[0]?.stats().heldFds, 0);
});

test('A descriptor that arrived for a method that does not exist is closed when the call ends', async () => {
  const { address, connections } = await watchedServer({});
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const { closed } = sendPipe(fds);
  const { requestSerialize, responseDeserialize } = testService.unary;
  const { promise: error, resolve } = withResolvers<grpc.ServiceError | null>();
  client.grpc.makeUnaryRequest(
    '/grpcfd.test.Test/NotThere',
    requestSerialize,
    responseDeserialize,
    {},
    fds.options(),
    resolve,
  );
  assert.equal((await error)?.code, grpc.status.UNIMPLEMENTED);
  await closed();
  assert.equal(connections[0]?.stats().heldFds, 0);
});

test('A descriptor that the handler did not receive is closed when the connection is lost', async () => {
  const { gate, handlers } = gatedService();
  const { server, address } = await watchedServer(handlers);
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const { closed } = sendPipe(fds);
  const call = client.unary({}, fds.options());
  await gate.reached;
  server.forceShutdown();
  await assert.rejects(call);
  await closed();
  gate.open();
});

test('A descriptor that the handler did not receive is closed when the client is killed', async () => {
  const { gate, handlers } = gatedService();
  const { address, connections } = await watchedServer(handlers);
  const child = startFixture('./fixtures/holding-client.js', import.meta.url, [address]);
  await gate.reached;
  assert.equal(connections[0]?.stats().claimedFds, 3);
  child.kill('SIGKILL');
  await connections[0]?.closed;
  assert.equal(connections[0]?.stats().heldFds, 0);
  gate.open();
});

test('A descriptor that the handler received stays open after the call', async () => {
  const { promise: taken, resolve } = withResolvers<number>();
  const { address } = await watchedServer({
    unary: grpcfd.handler(async (call, fds) => {
      resolve(await fds.recvFd(String(call.request['file'])));
      return {};
    }),
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const file = fileWith('still there');
  const { ref } = fds.sendFd(file);
  closeSync(file);
  await client.unary({ file: ref }, fds.options());
  client.grpc.close();
  assert.equal(contentOf(await taken), 'still there');
});

/** A client that has received a reply with three files. */
async function afterReply(options: grpcfd.FdConnectionOptions = {}) {
  const { address } = await watchedServer({
    unary: grpcfd.handler((_call, fds) => {
      const files = ['one', 'two', 'three'].map(fileWith);
      const refs = files.map((fd) => fds.sendFd(fd).ref);
      files.forEach(closeSync);
      return { refs };
    }),
  });
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const client = await dial(address, { options: { ...options, onConnection } });
  const fds = grpcfd.callCredentials();
  const { refs } = (await client.unary({}, fds.options())) as { refs: string[] };
  const outcomes = (options?: grpcfd.ReceiveOptions) =>
    Promise.all(
      refs.map((ref) => fds.recvFd(ref, options).then(contentOf, ({ reason }: grpcfd.GrpcFdError) => reason)),
    );
  return { client, fds, connection: connections[0], outcomes };
}

test('what came with a reply can be taken after the call, once, and with keep again and again, until close()', async () => {
  const { fds, connection, outcomes } = await afterReply();
  for (let time = 0; time < 2; time++) {
    assert.deepEqual(await outcomes({ keep: true }), ['one', 'two', 'three']);
    assert.equal(connection?.stats().heldFds, 3);
  }
  assert.deepEqual(await outcomes(), ['one', 'two', 'three']);
  assert.equal(connection?.stats().heldFds, 0);
  assert.deepEqual(await outcomes(), Array(3).fill('ERR_GRPCFD_ALREADY_RECEIVED'));
  assert.deepEqual(await outcomes({ keep: true }), Array(3).fill('ERR_GRPCFD_ALREADY_RECEIVED'));
  fds.close();
  assert.deepEqual(await outcomes(), Array(3).fill('ERR_GRPCFD_CLOSED'));
});

test('A descriptor that arrived with a reply is held for holdMs', async () => {
  const { connection, outcomes } = await afterReply({ holdMs: 20 });
  while (connection?.stats().heldFds !== 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(connection.stats().expiredFds, 3);
  assert.deepEqual(await outcomes(), Array(3).fill('ERR_GRPCFD_NOT_FOUND'));
});

test('Of the descriptors that arrived with replies, the newest maxHeldFds are held', async () => {
  const { connection, outcomes } = await afterReply({ maxHeldFds: 2 });
  while (connection?.stats().evictedFds !== 1) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(await outcomes(), ['ERR_GRPCFD_NOT_FOUND', 'two', 'three']);
});

test('A descriptor that arrived with a reply is closed when the connection closes', async () => {
  const { client, connection, outcomes } = await afterReply();
  client.grpc.close();
  await connection?.closed;
  assert.deepEqual(await outcomes(), Array(3).fill('ERR_GRPCFD_CONNECTION_CLOSED'));
});
