import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type * as net from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { sharedCertificates } from '../support/certificates.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { withFreshNumber } from '../support/fresh-number.js';
import {
  dial,
  SECURITIES,
  type Security,
  stockServerCredentials,
  type TestClient,
  testService,
} from '../support/service.js';

trackDescriptors();

const FIXTURE = fileURLToPath(new URL('./fixtures/inherited.js', import.meta.url));

/** A number that stands for one end of a socketpair, whose other end a server serves. */
async function served(security: Security) {
  const server = new grpcfd.Server();
  server.addService(testService, { ...bothWays });
  defer(() => server.forceShutdown());
  const [a, b] = native.socketPair();
  const credentials = grpcfd.serverCredentials(await stockServerCredentials(security));
  const connection = await server.serveConnection(a, credentials);
  return { fd: withFreshNumber(b), connection, server };
}

function stateIs(client: TestClient, wanted: grpc.connectivityState): Promise<void> {
  const channel = client.grpc.getChannel();
  return new Promise((resolve, reject) => {
    const look = (error?: Error): void => {
      const state = channel.getConnectivityState(false);
      if (error !== undefined) reject(error);
      else if (state === wanted) resolve();
      else channel.watchConnectivityState(state, Date.now() + 20_000, look);
    };
    look();
  });
}

/** Fails the test unless the call fails with a text that says that the number is used up. */
async function assertUsedUp(client: TestClient, fd: number): Promise<void> {
  await assert.rejects(client.unary({}), (error: grpc.ServiceError) => {
    assert.equal(error.code, grpc.status.UNAVAILABLE);
    assert.match(error.details, new RegExp(`fd:${fd} is used up`));
    return true;
  });
}

for (const security of SECURITIES) {
  test(`${security}: a child process calls over the socket that it has inherited as 3`, async () => {
    const server = new grpcfd.Server();
    server.addService(testService, { ...bothWays });
    defer(() => server.forceShutdown());
    const [a, b] = native.socketPair();
    const credentials = grpcfd.serverCredentials(await stockServerCredentials(security));
    const connection = await server.serveConnection(a, credentials);
    const env = { ...process.env, ...(await sharedCertificates()), NODE_TEST_CONTEXT: undefined };
    const child = spawn(process.execPath, [FIXTURE, 'client', 'fd:3', security], {
      env,
      stdio: ['ignore', 'pipe', 'inherit', b],
    });
    native.close(b);
    assert.equal(await text(child.stdout as net.Socket), 'ok\n');
    // Nobody but the child has the other end.
    await connection.closed;
  });

  test(`${security}: the socket that Node makes for a child is served in the turn in which it is made`, async () => {
    const server = new grpcfd.Server();
    server.addService(testService, { ...bothWays });
    defer(() => server.forceShutdown());
    const credentials = grpcfd.serverCredentials(await stockServerCredentials(security));
    const env = { ...process.env, ...(await sharedCertificates()), NODE_TEST_CONTEXT: undefined };
    const child = spawn(process.execPath, [FIXTURE, 'client', 'fd:3', security], {
      env,
      stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
    });
    const connection = await server.serveConnection(child.stdio[3] as net.Socket, credentials);
    assert.equal(connection.peer, undefined);
    assert.equal(await text(child.stdout as net.Socket), 'ok\n');
    await connection.closed;
  });

  test(`${security}: an idle channel keeps the inherited connection`, async () => {
    const { fd, connection } = await served(security);
    const clientOptions = { 'grpc.client_idle_timeout_ms': 1_000 };
    const client = await dial(`fd:${fd}`, { security, clientOptions });
    await assertBothWays(client);
    // This channel began to be idle later, and is idle.
    const other = await served(security);
    const passing = await dial('fd:connect', {
      security,
      clientOptions,
      options: { connect: () => other.fd },
    });
    await assertBothWays(passing);
    await stateIs(passing, grpc.connectivityState.IDLE);
    // The close of any channel ends the connections that no channel uses.
    const third = await dial('unix:/nowhere');
    third.grpc.getChannel().getConnectivityState(true);
    third.grpc.close();
    await other.connection.closed;
    assert.equal(client.grpc.getChannel().getConnectivityState(false), grpc.connectivityState.READY);
    await assertBothWays(client);
    assert.equal(connection.stats().receivedFds, 2);
    client.grpc.close();
    await connection.closed;
  });

  test(`${security}: when its connection has ended, fd:N is used up, and no other socket of that number is adopted`, async () => {
    const { fd, server } = await served(security);
    const clientOptions = { 'grpc.initial_reconnect_backoff_ms': 1, 'grpc.max_reconnect_backoff_ms': 5 };
    const client = await dial(`fd:${fd}`, { security, clientOptions });
    await assertBothWays(client);
    server.forceShutdown();
    await stateIs(client, grpc.connectivityState.IDLE);
    const [a, b] = native.socketPair();
    const made = [a, b];
    while (!made.includes(fd)) made.push(native.duplicate(a));
    await assertUsedUp(client, fd);
    await assertUsedUp(
      await dial(`fd:${fd}`, { security, clientOptions: { 'grpc.primary_user_agent': 'x' } }),
      fd,
    );
    for (const each of made) native.inode(each);
    native.closeAll(made);
  });
}

test('A number is adopted once in the process, its threads included', async () => {
  const { fd } = await served('plaintext');
  const client = await dial(`fd:${fd}`);
  await assertBothWays(client);
  const [a, b] = native.socketPair();
  const made = [a, b];
  while (!made.includes(fd)) made.push(native.duplicate(a));
  const worker = new Worker(FIXTURE, { workerData: ['thread', `fd:${fd}`] });
  const [details] = await once(worker, 'message');
  await worker.terminate();
  assert.match(details, new RegExp(`fd:${fd} is used up`));
  native.closeAll(made);
});

test('What is not a connected unix stream socket is refused, and stays its owner’s', async () => {
  const [read = -1, write = -1] = native.testing.pipe().map(withFreshNumber);
  const client = await dial(`fd:${read}`, { clientOptions: { 'grpc.use_local_subchannel_pool': 1 } });
  await assert.rejects(client.unary({}), {
    code: grpc.status.UNAVAILABLE,
    details: new RegExp(`fd:${read} is not a unix stream socket: ENOTSOCK`),
  });
  native.inode(read);
  native.closeAll([read, write]);
  await assert.rejects((await dial(`fd:${read}`)).unary({}), { details: /EBADF/ });
  await assert.rejects((await dial('fd:2')).unary({}), { details: /fd:2 is a standard stream/ });
});
