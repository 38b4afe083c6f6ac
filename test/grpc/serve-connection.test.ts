import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as net from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { allClosed } from '../support/all-closed.js';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { assertFails } from '../support/failure.js';
import { defer, descriptorTable, trackDescriptors } from '../support/fd-table.js';
import {
  dial,
  SECURITIES,
  shutDown,
  stockServerCredentials,
  testService,
  withResolvers,
} from '../support/service.js';
import { socketPair } from '../support/socket-pair.js';

trackDescriptors();

function newServer(options?: grpc.ServerOptions): grpcfd.Server {
  const server = new grpcfd.Server(options);
  server.addService(testService, { ...bothWays });
  defer(() => server.forceShutdown());
  return server;
}

/** The children of a server in channelz: those that listen, and its connections. */
async function channelzOf(server: grpc.Server): Promise<{ listeners: number; connections: number }> {
  const { GetServer, GetServerSockets } = grpc.getChannelzHandlers();
  const id = String(server.getChannelzRef().id);
  const ask = <Reply>(handler: unknown, request: object) =>
    new Promise<Reply>((resolve, reject) => {
      (handler as grpc.handleUnaryCall<object, Reply>)(
        { request } as grpc.ServerUnaryCall<object, Reply>,
        (error, value) => (error ? reject(error) : resolve(value as Reply)),
      );
    });
  const { server: found } = await ask<{ server: { listen_socket: [] } }>(GetServer, { server_id: id });
  const { socket_ref } = await ask<{ socket_ref: [] }>(GetServerSockets, {
    server_id: id,
    start_socket_id: '0',
  });
  return { listeners: found.listen_socket.length, connections: socket_ref.length };
}

for (const security of SECURITIES) {
  test(`${security}: calls over a socketpair, with descriptors both ways, at the server of one end`, async () => {
    const server = newServer();
    const credentials = grpcfd.serverCredentials(await stockServerCredentials(security));
    const [a, b] = native.socketPair();
    const connection = await server.serveConnection(a, credentials);
    const client = await dial('fd:connect', { security, options: { connect: () => b } });
    assert.equal((await assertBothWays(client)).peer, 'unix:');
    assert.deepEqual(
      [connection.role, connection.peer, connection.stats().receivedFds],
      ['server', undefined, 1],
    );
    client.grpc.close();
    await connection.closed;
    await shutDown(server);
  });

  test(`${security}: tryShutdown waits for the calls of served connections, and ends these`, async () => {
    const server = new grpcfd.Server();
    const { promise: answer, resolve } = withResolvers<void>();
    const { promise: begun, resolve: begin } = withResolvers<void>();
    server.addService(testService, {
      unary: grpcfd.handler(async () => {
        begin();
        await answer;
        return { done: true };
      }),
    });
    const credentials = grpcfd.serverCredentials(await stockServerCredentials(security));
    const [a, b] = native.socketPair();
    const connection = await server.serveConnection(a, credentials);
    const client = await dial('fd:connect', { security, options: { connect: () => b } });
    const reply = client.unary({});
    await begun;
    let isDown = false;
    const down = shutDown(server).then(() => (isDown = true));
    await delay(50);
    assert.equal(isDown, false);
    resolve();
    assert.deepEqual(await reply, { done: true });
    await Promise.all([down, connection.closed]);
    const [c, d] = native.socketPair();
    await assertFails(server.serveConnection(c, credentials), 'ERR_GRPCFD_CLOSED', 'CANCELLED');
    native.closeAll([c, d]);
  });

  test(`${security}: forceShutdown ends served connections with their calls`, async () => {
    const server = new grpcfd.Server();
    server.addService(testService, { unary: () => begin() });
    const { promise: begun, resolve: begin } = withResolvers<void>();
    const [a, b] = native.socketPair();
    const credentials = grpcfd.serverCredentials(await stockServerCredentials(security));
    const connection = await server.serveConnection(a, credentials);
    const client = await dial('fd:connect', { security, options: { connect: () => b } });
    const reply = client.unary({}).then(
      () => assert.fail('the call succeeded'),
      (error: grpc.ServiceError) => error.code,
    );
    await begun;
    server.forceShutdown();
    assert.equal(await reply, grpc.status.CANCELLED);
    await connection.closed;
  });
}

test('tryShutdown waits for a served connection that is in its TLS handshake, as for one that was accepted', async () => {
  const server = newServer();
  const [a, b] = native.socketPair();
  await server.serveConnection(a, grpcfd.serverCredentials(await stockServerCredentials('TLS')));
  let isDown = false;
  const down = shutDown(server).then(() => (isDown = true));
  await delay(50);
  assert.equal(isDown, false);
  native.close(b);
  await down;
});

test('Nothing but the connections themselves grows with the connections that were served', async () => {
  const server = newServer();
  const inner = await stockServerCredentials('plaintext');
  const serveOne = async (): Promise<void> => {
    const [a, b] = native.socketPair();
    // Other objects with the same meaning count as the same credentials.
    const connection = await server.serveConnection(a, grpcfd.serverCredentials(inner));
    const client = await dial('fd:connect', { options: { connect: () => b } });
    await assertBothWays(client);
    assert.deepEqual(await channelzOf(server), { listeners: 1, connections: 1 });
    client.grpc.close();
    await connection.closed;
    // With a leak, the test fails by its timeout.
    while ((await channelzOf(server)).connections > 0) await delay(1);
  };
  await serveOne();
  await allClosed();
  const before = descriptorTable().size;
  for (let round = 0; round < 20; round++) await serveOne();
  await allClosed();
  assert.equal(descriptorTable().size, before);
  await shutDown(server);
});

test('The peer that is given is the peer, in FdConnection and in getPeer()', async () => {
  const server = newServer();
  const [a, b] = native.socketPair();
  const peer = { pid: 7, uid: 65534, gid: 65533 };
  const connection = await server.serveConnection(a, grpcfd.serverCredentials(), { peer });
  assert.deepEqual(connection.peer, peer);
  const client = await dial('fd:connect', { options: { connect: () => b } });
  assert.equal((await assertBothWays(client)).peer, 'unix:pid=7,uid=65534,gid=65533');
  client.grpc.close();
});

test('Whoever has one end of a socketpair cannot make the process that has the other end trust it', async () => {
  const server = newServer();
  const [a, b] = native.socketPair();
  // The end of a child. With a name, it looks like a socket that listens at that name and has accepted.
  native.testing.nameSocket(b);
  const connection = await server.serveConnection(a, grpcfd.serverCredentials());
  assert.equal(connection.peer, undefined);
  native.close(b);
  await connection.closed;

  const [c, d] = native.socketPair();
  native.testing.nameSocket(d);
  let peer: unknown = 'none';
  const connectionOptions = {
    connect: () => c,
    onConnection: (made: grpcfd.FdConnection) => (peer = made.peer),
  };
  const client = await dial('fd:connect', { options: connectionOptions });
  const served = await server.serveConnection(d, grpcfd.serverCredentials(), {
    peer: { pid: 1, uid: 2, gid: 3 },
  });
  await assertBothWays(client);
  assert.equal(peer, undefined);
  client.grpc.close();
  await served.closed;
});

test('A net.Socket that was accepted is served, and its peer is the process that has connected', async () => {
  const server = newServer();
  const path = `\0grpcfd-serve-${process.pid}`;
  const accepted = withResolvers<net.Socket>();
  const listener = net.createServer({ pauseOnConnect: true }, accepted.resolve).listen(path);
  defer(() => listener.close());
  const client = await dial('fd:connect', { options: { connect: () => net.connect(path) } });
  const reply = assertBothWays(client);
  const connection = await server.serveConnection(await accepted.promise, grpcfd.serverCredentials());
  await reply;
  assert.equal(connection.peer?.pid, process.pid);
  client.grpc.close();
  await connection.closed;
});

test('What cannot be served is refused, and stays its owner’s', async () => {
  const server = newServer();
  const credentials = grpcfd.serverCredentials();
  const [a, b] = native.socketPair();
  const refuse = async (wanted: RegExp, ...[socket, ...rest]: Parameters<typeof server.serveConnection>) => {
    const error = await assertFails(
      server.serveConnection(socket, ...rest),
      'ERR_GRPCFD_INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
    );
    assert.match(error.details, wanted);
  };
  await refuse(/takes grpcfd.serverCredentials/, a, grpc.ServerCredentials.createInsecure());
  await refuse(/peer.uid must be an integer/, a, credentials, { peer: { pid: 1, uid: -1, gid: 0 } });
  await refuse(/peer.gid must be an integer/, a, credentials, { peer: { pid: 1, uid: 1 } as never });
  await refuse(/"peers" is not an option|peers/, a, credentials, { peers: {} } as never);
  await refuse(/must be the number of a descriptor, a net.Socket or an FdSocket/, {} as never, credentials);
  const listening = native.bindUnix(Buffer.from(`\0grpcfd-unserved-${process.pid}`));
  await refuse(/not connected/, listening, credentials);
  const [read, write] = native.testing.pipe();
  await refuse(/not a unix stream socket: ENOTSOCK/, read, credentials);
  await refuse(/standard stream/, 1, credentials);
  for (const fd of [a, b, listening, read, write]) native.inode(fd);
  native.closeAll([a, b, listening, read, write]);
  await allClosed();
  await refuse(/not a unix stream socket: EBADF/, a, credentials);
  const [used, other] = native.socketPair();
  native.unguard(used);
  const user = new net.Socket({ fd: used });
  await refuse(/an object of this process uses/, used, credentials);
  assert.equal(user.destroyed, false);
  await once(user.destroy(), 'close');
  native.close(other);
  const written = socketPair()[0];
  await new Promise((resolve) => written.write('something', resolve));
  await refuse(/something was written to/, written, credentials);
  const ended = socketPair()[0].end();
  await refuse(/something was written to .*, or it was ended/, ended, credentials);
  const corked = socketPair()[0];
  corked.setEncoding('utf8');
  await refuse(/an FdSocket that cannot be taken over now: .*setEncoding/, corked, credentials);
  const [from, to] = native.testing.pipe();
  const overPipe = new net.Socket({ fd: from });
  await refuse(/not a unix stream socket: ENOTSOCK/, overPipe, credentials);
  assert.equal(overPipe.destroyed, false);
  overPipe.destroy();
  native.closeAll([to]);
});

test('An onConnection that throws closes the connection, and serveConnection() rejects with it', async () => {
  const server = newServer();
  const [a, b] = native.socketPair();
  const credentials = grpcfd.serverCredentials(undefined, {
    onConnection: () => {
      throw new Error('not this one');
    },
  });
  await assert.rejects(server.serveConnection(a, credentials), /not this one/);
  const end = new net.Socket({ fd: b });
  await new Promise((resolve) => end.on('end', resolve).resume());
  end.destroy();
});
