// A shutdown while a client is in its TLS handshake.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { connect, type Server } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { bind, freshAddress, shutDown, stockServerCredentials } from '../support/service.js';

trackDescriptors();

/** Resolves when the server has accepted a connection. */
async function accepts(server: grpc.Server): Promise<void> {
  const [listening] = (Reflect.get(server, 'http2Servers') as Map<Server, unknown>).keys();
  assert.ok(listening);
  const count = promisify(listening.getConnections.bind(listening));
  while ((await count()) === 0) await delay(1);
}

/**
 * Shuts the server down between the accept of a connection and its handshake. Tells whether the shutdown ends within that time, though the client
 * stays.
 */
async function shutDownBeforeHandshake(
  server: grpc.Server,
  address: string,
  patienceMs: number,
): Promise<boolean> {
  const raw = connect(address.slice('unix:'.length));
  defer(() => raw.destroy());
  await once(raw, 'connect');
  await accepts(server);
  let ended = false;
  const shutdown = shutDown(server).then(() => {
    ended = true;
  });
  defer(() => shutdown);
  const createConnection = () =>
    connectTls({ socket: raw, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  const client = http2.connect('https://localhost', { createConnection });
  defer(() => client.destroy());
  await once(client, 'remoteSettings');
  await Promise.race([shutdown, delay(patienceMs, undefined, { ref: false })]);
  return ended;
}

test('grpc-js waits for a connection whose TLS handshake was under way at the shutdown', async () => {
  const server = new grpc.Server();
  const address = freshAddress();
  await bind(server, address, await stockServerCredentials('TLS'));
  assert.equal(await shutDownBeforeHandshake(server, address, 500), false);
});

test('A shutdown ends the connection whose TLS handshake was under way', async () => {
  const server = new grpcfd.Server();
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials(await stockServerCredentials('TLS')));
  assert.equal(await shutDownBeforeHandshake(server, address, 20_000), true);
});
