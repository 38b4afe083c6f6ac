/** `maxConnections`, `maxConnectionsPerAccount`, `maxHeldFdsTotal` and `account`, over real sockets. */
import assert from 'node:assert/strict';
import { chmodSync, closeSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { connect, type FdSocket } from 'grpcfd/socket';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { eventsOf, warnings } from '../support/events.js';
import { assertFails, assertFailure, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { OtherUser, withoutRoot } from '../support/other-user.js';
import {
  dial,
  freshAddress,
  SECURITIES,
  serve,
  shutDown,
  type TestClient,
  testService,
} from '../support/service.js';
import { socketPair } from '../support/socket-pair.js';
import { fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 10_000;

async function served(options: grpcfd.FdServerOptions, security: Parameters<typeof dial>[1] = {}) {
  const connections: grpcfd.FdConnection[] = [];
  const address = freshAddress();
  chmodSync(dirname(address.slice('unix:'.length)), 0o711);
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const { server } = await serve(bothWays, {
    address,
    ...security,
    options: { mode: 0o777, onConnection, ...options },
  });
  const refusals = eventsOf<grpcfd.ConnectionRefusedEvent>('grpcfd:connection:refused');
  return { server, address, connections, refusals };
}

async function rawClient(address: string): Promise<FdSocket> {
  const socket = await connect({ path: address.slice('unix:'.length) });
  socket.on('error', () => {});
  socket.resume();
  defer(() => socket.destroy());
  return socket;
}

const isOver = (socket: FdSocket): boolean => socket.readableEnded || socket.destroyed;

/** Each client with a connection of its own. */
function separate(address: string, security: Parameters<typeof dial>[1] = {}): Promise<TestClient> {
  return dial(address, { ...security, clientOptions: { 'grpc.use_local_subchannel_pool': 1 } });
}

for (const security of SECURITIES) {
  test(`${security}: above maxConnections a connection is closed, and those that are open go on`, async () => {
    const all = warnings();
    const { address, refusals, connections } = await served({ maxConnections: 2 }, { security });
    const before = grpcfd.stats();
    const [first, second, third] = [
      await separate(address, { security }),
      await separate(address, { security }),
      await separate(address, { security }),
    ];
    await assertBothWays(first);
    await assertBothWays(second);
    assert.equal(((await failure(third.unary({}))) as grpc.ServiceError).code, grpc.status.UNAVAILABLE);
    await within(HANG_MS, 'the event comes', () => refusals.length > 0);
    const [refusal] = refusals;
    assert.deepEqual(
      [refusal?.reason, refusal?.error.reason],
      ['maxConnections', 'ERR_GRPCFD_TOO_MANY_CONNECTIONS'],
    );
    assert.equal(grpcfd.stats().connections - before.connections, 4);
    await assertBothWays(first);
    first.grpc.close();
    await connections[0]?.closed;
    third.grpc.close();
    await assertBothWays(await separate(address, { security }));
    assert.deepEqual(all, []);
  });
}

test('of an account, maxConnectionsPerAccount are open at a time; half of maxConnections by default', {
  skip: withoutRoot,
}, async () => {
  const account = (peer: grpcfd.Peer) => peer.uid;
  for (const options of [{ maxConnections: 100, maxConnectionsPerAccount: 3 }, { maxConnections: 6 }]) {
    const { address, refusals } = await served({ account, ...options });
    const mine = await Promise.all(Array.from({ length: 5 }, () => rawClient(address)));
    await within(HANG_MS, 'two are closed', () => mine.filter(isOver).length === 2);
    await within(HANG_MS, 'the events come', () => refusals.length === 2);
    assert.ok(refusals.every(({ reason }) => reason === 'maxConnectionsPerAccount'));
    const other = new OtherUser(address, { uid: 65534, gid: 65534 });
    assert.notEqual((await other.call())['code'], 'UNAVAILABLE');
    await other.end();
    for (const socket of mine) socket.destroy();
  }
});

test('a newcomer takes the place of the newest connection of the account that has the most', {
  skip: withoutRoot,
}, async () => {
  const { address, connections } = await served({
    account: (peer) => peer.uid,
    maxConnections: 4,
    maxConnectionsPerAccount: 4,
  });
  const before = grpcfd.stats().evictedConnections;
  const ended = eventsOf<grpcfd.ConnectionCloseEvent>('grpcfd:connection:close');
  const mine: FdSocket[] = [];
  for (let count = 1; count <= 4; count++) {
    mine.push(await rawClient(address));
    await within(HANG_MS, 'it is accepted', () => connections.length === count);
  }
  const other = new OtherUser(address, { uid: 65534, gid: 65534 });
  assert.notEqual((await other.call())['code'], 'UNAVAILABLE');
  await within(HANG_MS, 'the newest is closed', () => isOver(mine[3] ?? assert.fail()));
  assert.deepEqual(mine.map(isOver), [false, false, false, true]);
  assert.equal(grpcfd.stats().evictedConnections - before, 1);
  await within(HANG_MS, 'the event comes', () => ended.length === 1);
  const [end] = ended;
  assert.equal(end?.connection, connections[3]);
  assertFailure(end?.error, 'ERR_GRPCFD_TOO_MANY_CONNECTIONS', 'RESOURCE_EXHAUSTED');
  // One more of the account that has the most is refused, and the other one keeps its place.
  const late = await rawClient(address);
  await within(HANG_MS, 'it is refused', () => isOver(late));
  assert.notEqual((await other.call())['code'], 'UNAVAILABLE');
});

for (const [name, account] of [
  ['throws', () => assert.fail('no account')],
  ['gives a promise', () => Promise.resolve(7)],
] as const) {
  test(`an account() that ${name} refuses the connection`, async () => {
    const { address, refusals } = await served({ account });
    const client = await rawClient(address);
    await within(HANG_MS, 'it is refused', () => isOver(client) && refusals.length === 1);
    assert.equal(refusals[0]?.reason, 'account');

    const other = await serve(bothWays);
    const refusing = await dial(other.address, { options: { account } });
    assert.match(((await failure(refusing.unary({}))) as grpc.ServiceError).details, /account\(\)/);
    refusing.grpc.close();
  });
}

test('serveConnection() rejects above maxConnections', async () => {
  const server = new grpcfd.Server();
  server.addService(testService, { ...bothWays });
  defer(() => shutDown(server));
  const credentials = grpcfd.serverCredentials(undefined, { maxConnections: 1 });
  const [a, b] = socketPair();
  const connection = await server.serveConnection(a, credentials);
  const [c] = socketPair();
  await assertFails(
    server.serveConnection(c, credentials),
    'ERR_GRPCFD_TOO_MANY_CONNECTIONS',
    'RESOURCE_EXHAUSTED',
  );
  b.destroy();
  await connection.closed;
  const [d, e] = socketPair();
  await server.serveConnection(d, credentials);
  e.destroy();
});

test('a flood of descriptors of one account takes nothing that the calls of another one need', {
  skip: withoutRoot,
}, async () => {
  const { address, connections } = await served({
    account: (peer) => peer.uid,
    maxConnections: 100,
    maxHeldFdsTotal: 40,
  });
  const closed = eventsOf<grpcfd.FdClosedEvent>('grpcfd:fd:closed');
  const fd = fileWith('flood');
  const flood = await Promise.all([1, 2, 3].map(() => FrameClient.connect(address)));
  const pour = () => {
    for (const client of flood) {
      client.sendFds(Array.from({ length: 30 }, () => fd));
      client.write(Buffer.from([0, 0, 0, 0xfd, 0, 0, 0, 0, 0]));
    }
  };
  pour();
  const held = () => connections.reduce((sum, connection) => sum + connection.stats().heldFds, 0);
  const received = () => connections.reduce((sum, connection) => sum + connection.stats().receivedFds, 0);
  await within(HANG_MS, 'they come', () => received() >= 90);
  assert.equal(held(), 40);
  const other = new OtherUser(address, { uid: 65534, gid: 65534 });
  for (let call = 0; call < 10; call++) {
    pour();
    // The handler asks for a name that the client does not give: what counts is what the connection held.
    await other.call(10);
  }
  const bystander = connections.find(({ peer }) => peer?.uid === 65534);
  assert.deepEqual([bystander?.stats().receivedFds, bystander?.stats().evictedFdsTotal], [100, 0]);
  assert.ok(held() <= 40);
  await within(HANG_MS, 'the events come', () => closed.some(({ reason }) => reason === 'maxHeldFdsTotal'));
  assert.ok(
    closed.every(({ reason, connection }) => reason !== 'maxHeldFdsTotal' || connection.peer?.uid !== 65534),
  );
  closeSync(fd);
});

test('a client holds no more than maxHeldFdsTotal over all its channels', async () => {
  const { address } = await serve({
    serverStream: grpcfd.handler((call, fds) => {
      const fd = fileWith('much');
      for (let count = 0; count < 30; count++) fds.sendFd(fd);
      closeSync(fd);
      (call as unknown as grpc.ServerWritableStream<unknown, unknown>).write({});
      return new Promise(() => {});
    }),
  });
  const made: grpcfd.FdConnection[] = [];
  const credentials = grpcfd.channelCredentials(undefined, {
    maxHeldFdsTotal: 40,
    onConnection: (connection) => void made.push(connection),
  });
  const { TestClient } = await import('../support/service.js');
  for (let index = 0; index < 2; index++) {
    const client = new TestClient(address, credentials, { 'grpc.use_local_subchannel_pool': 1 });
    const fds = grpcfd.callCredentials();
    defer(() => fds.close());
    const call = client.serverStream({}, fds.options());
    call.on('error', () => {});
    defer(() => call.cancel());
    await new Promise((resolve) => call.once('data', resolve));
  }
  const stats = made.map((connection) => connection.stats());
  assert.deepEqual(
    stats.map(({ receivedFds }) => receivedFds),
    [30, 30],
  );
  assert.deepEqual(
    stats.map(({ heldFds }) => heldFds),
    [20, 20],
  );
});
