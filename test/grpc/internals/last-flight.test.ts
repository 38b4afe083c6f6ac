import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as net from 'node:net';
import { test } from 'node:test';
import * as tls from 'node:tls';
import { writesLastFlight } from '#src/grpc/internals/last-flight.js';
import { certificates } from '../../support/certificates.js';
import { defer, trackDescriptors } from '../../support/fd-table.js';
import { freshAddress, withResolvers } from '../../support/service.js';

trackDescriptors();

interface End {
  readonly isLast: boolean;
  /** Bytes that it wrote after Node had reported the end of its handshake. */
  readonly later: number;
}

/** How much of the handshake each end writes after Node has reported its end there. No ticket is sent that would count. */
async function handshake(maxVersion: tls.SecureVersion, session?: Buffer) {
  const { server: pair } = await certificates();
  const context = { ...pair, maxVersion, ticketKeys: Buffer.alloc(48, 1), secureOptions: 0 };
  const server = tls.createServer(context);
  const path = freshAddress().slice('unix:'.length);
  server.listen(path);
  await once(server, 'listening');
  defer(() => server.close());
  const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve));
  const atServer = withResolvers<End>();
  server.once('secureConnection', async (socket: tls.TLSSocket) => {
    socket.on('error', () => {});
    defer(() => socket.destroy());
    atServer.resolve(await endOf(await accepted, socket, 'server'));
  });
  const below = net.connect(path);
  await once(below, 'connect');
  const client = tls.connect({
    socket: below,
    rejectUnauthorized: false,
    maxVersion,
    ...(session && { session }),
  });
  defer(() => client.destroy());
  const newSession = new Promise<Buffer>((resolve) => client.once('session', resolve));
  const atClient = new Promise<End>((resolve) => {
    client.once('secureConnect', () => void endOf(below, client, 'client').then(resolve));
  });
  const ends = { client: await atClient, server: await atServer.promise };
  return { ends, reused: client.isSessionReused(), newSession };
}

async function endOf(below: net.Socket, socket: tls.TLSSocket, role: 'client' | 'server'): Promise<End> {
  const { bytesWritten } = below;
  const isLast = writesLastFlight(socket, role);
  await new Promise((resolve) => setImmediate(resolve));
  return { isLast, later: below.bytesWritten - bytesWritten };
}

test('in TLS 1.3, the client writes the last bytes of the handshake after Node has reported its end', async () => {
  const { ends } = await handshake('TLSv1.3');
  assert.deepEqual([ends.client.isLast, ends.server.isLast], [true, false]);
  assert.ok(ends.client.later > 0);
});

test('in TLS 1.2, the server does, and the client where a session is resumed', async () => {
  const { ends, newSession } = await handshake('TLSv1.2');
  assert.deepEqual([ends.client.isLast, ends.server.isLast], [false, true]);
  assert.ok(ends.server.later > 0);
  assert.equal(ends.client.later, 0);
  const resumed = await handshake('TLSv1.2', await newSession);
  assert.equal(resumed.reused, true);
  assert.deepEqual([resumed.ends.client.isLast, resumed.ends.server.isLast], [true, false]);
  assert.ok(resumed.ends.client.later > 0);
  assert.equal(resumed.ends.server.later, 0);
});

test('without TLS, no end does', () => {
  assert.equal(writesLastFlight(new net.Socket(), 'client'), false);
});
