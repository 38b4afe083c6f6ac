/** What a connection sends and holds while its peer has shown nothing of itself in a TLS handshake. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { connect as connectTls, createSecureContext } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { connect, type FdSocket, listen } from 'grpcfd/socket';
import { closeAll, native } from '#src/native/binding.js';
import { certificates } from '../support/certificates.js';
import { assertFails, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { PREFACE, settings } from '../support/http2-frames.js';
import { endOf, pipeTo } from '../support/pipe.js';
import {
  dial,
  freshAddress,
  type Message,
  SECURITIES,
  type Security,
  serve,
  TestClient,
  withResolvers,
} from '../support/service.js';
import { descriptorsOf } from '../support/socket-pair.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

const LIMIT = 64;
const NEVER_COMES = 'inode://1/1';
const SOON_MS = 5_000;
const SECURE = ['TLS', 'mutual TLS'] as const;
/** The head of a TLS record of 16 KiB, of which the rest never comes. */
const UNFINISHED_RECORD = Buffer.of(0x16, 3, 1, 0x40, 0, 1);

/** A server, its connections, and a wait for a descriptor on each of them. */
async function waitingServer(security: Security) {
  const connections: grpcfd.FdConnection[] = [];
  const waits: Promise<number>[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => {
    connections.push(connection);
    waits.push(connection.recvFd(NEVER_COMES));
  };
  const { address } = await serve(
    { unary: (_call, callback) => callback(null, {}) },
    { security, options: { onConnection } },
  );
  return { address, connections, waits };
}

async function assertLost(wait: Promise<number> | undefined): Promise<void> {
  const failed = assertFails(wait ?? Promise.resolve(), 'ERR_GRPCFD_DESCRIPTORS_LOST', 'DATA_LOSS');
  const { details } = await settledWithin(SOON_MS, 'the wait fails', failed);
  assert.match(details, /more than 64 descriptors came before the TLS handshake had ended/);
}

/** A server that speaks no TLS. Its connections go with the test. */
async function listenRaw(onConnection: (peer: FdSocket) => void): Promise<string> {
  const address = freshAddress();
  const listener = await listen({ path: address.slice('unix:'.length) }, (peer) => {
    peer.on('error', () => {});
    defer(() => peer.destroy());
    onConnection(peer);
  });
  defer(() => listener.close());
  return address;
}

async function connectRaw(address: string): Promise<FdSocket> {
  const socket = await connect(address.slice('unix:'.length));
  socket.on('error', () => {});
  defer(() => socket.destroy());
  return socket;
}

/** With TLS 1.3, the client writes the last bytes of the handshake; with TLS 1.2, the server does. */
async function tls12(): Promise<grpc.ChannelCredentials> {
  const { server } = await certificates();
  return grpc.credentials.createFromSecureContext(
    createSecureContext({ ca: server.cert, maxVersion: 'TLSv1.2' }),
  );
}

/** Sends more descriptors than a peer may hold: 128 times 64, with a byte each. */
function flood(socket: FdSocket, fd: number): void {
  socket.writeWithFds(UNFINISHED_RECORD, []);
  for (let message = 0; message < 128; message++) {
    void socket.writeWithFds(Buffer.of(0), Array<number>(LIMIT).fill(fd));
  }
}

for (const security of SECURE) {
  test(`${security}: a server holds ${LIMIT} descriptors of a peer in the handshake, and waits fail when more come`, async () => {
    const { address, connections, waits } = await waitingServer(security);
    const peer = await connectRaw(address);
    const { end } = pipeTo((into) => flood(peer, into));
    await within(SOON_MS, 'it has all', () => peer.stats().pendingFds === 0 && waits.length === 1);
    await assertLost(waits[0]);
    const [connection] = connections;
    await assertLost(connection?.recvFd(NEVER_COMES));
    assert.deepEqual([connection?.stats().heldFds, connection?.stats().receivedFds], [LIMIT, LIMIT]);
    peer.destroy();
    assert.equal(await end(), '');
  });

  test(`${security}: what a server holds of a peer is closed when its handshake fails`, async () => {
    const { address, connections } = await waitingServer(security);
    const peer = await connectRaw(address);
    const { end } = pipeTo((into) => void peer.sendFds(Array<number>(LIMIT).fill(into)));
    peer.write('this is not TLS');
    assert.equal(await end(), '');
    await connections[0]?.closed;
    assert.equal(connections[0]?.stats().heldFds, 0);
  });
}

test('mutual TLS: what a server holds of a peer without a certificate is closed when the handshake ends', async () => {
  const { address, connections } = await waitingServer('mutual TLS');
  const peer = await connectRaw(address);
  const { end } = pipeTo((into) => void peer.sendFds(Array<number>(LIMIT).fill(into)));
  const tls = connectTls({ socket: peer, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  tls.on('error', () => {});
  defer(() => tls.destroy());
  assert.equal(await end(), '');
  await connections[0]?.closed;
  assert.equal(connections[0]?.stats().heldFds, 0);
});

test('TLS: a client holds 64 descriptors of a server in the handshake, and its waits fail when more come', async () => {
  const [out, into] = native.testing.pipe();
  defer(() => closeSync(out));
  const peers: FdSocket[] = [];
  const address = await listenRaw((peer) => {
    peers.push(peer);
    peer.once('data', () => flood(peer, into));
  });
  const connections: grpcfd.FdConnection[] = [];
  const waits: Promise<number>[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => {
    connections.push(connection);
    waits.push(connection.recvFd(NEVER_COMES));
  };
  const client = await dial(address, { security: 'TLS', options: { onConnection } });
  const failed = failure(client.unary({}));
  await within(SOON_MS, 'it connects', () => waits.length > 0);
  await assertLost(waits[0]);
  assert.equal(connections[0]?.stats().heldFds, LIMIT);
  closeSync(into);
  peers[0]?.destroy();
  assert.equal(((await failed) as grpc.ServiceError).code, grpc.status.UNAVAILABLE);
  client.grpc.close();
  assert.equal(await endOf(out), '');
});

test('TLS: a client sends no descriptor before the handshake has ended, and none when it fails', async () => {
  const hello = withResolvers<number>();
  const address = await listenRaw((peer) => {
    const fds = descriptorsOf(peer);
    peer.once('data', () => {
      hello.resolve(fds.length);
      peer.destroy();
    });
  });
  const file = fileWith('early');
  const sent: grpcfd.SentFd[] = [];
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => {
    connections.push(connection);
    sent.push(connection.sendFd(file));
    assert.equal(connection.stats().pendingFds, 1);
  };
  const client = await dial(address, { security: 'TLS', options: { onConnection } });
  const failed = failure(client.unary({}));
  assert.equal(await hello.promise, 0);
  await failed;
  await assertFails(sent[0]?.sent ?? Promise.resolve(), 'ERR_GRPCFD_CONNECTION_CLOSED', 'UNAVAILABLE');
  assert.equal(connections[0]?.stats().sentFds, 0);
  client.grpc.close();
  closeSync(file);
});

for (const security of SECURE) {
  test(`${security}: a server sends no descriptor before the handshake has ended`, async () => {
    const file = fileWith('early');
    defer(() => closeSync(file));
    const sent: grpcfd.SentFd[] = [];
    const { address } = await serve(
      { unary: (_call, callback) => callback(null, {}) },
      { security, options: { onConnection: (connection) => void sent.push(connection.sendFd(file)) } },
    );
    const { client } = await certificates();
    const peer = await connectRaw(address);
    let inHandshake = true;
    const early: boolean[] = [];
    peer.on('fds', (fds) => {
      closeAll(fds);
      early.push(inHandshake);
    });
    const tls = connectTls({ ...client, socket: peer, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    defer(() => tls.destroy());
    await once(tls, 'secureConnect');
    inHandshake = false;
    tls.write(Buffer.concat([PREFACE, settings()]));
    await sent[0]?.sent;
    await within(SOON_MS, 'it comes', () => early.length > 0);
    assert.deepEqual(early, [false]);
  });
}

for (const security of [...SECURITIES, 'TLS 1.2'] as const) {
  test(`${security}: what onConnection sends at both ends arrives before the descriptors of any call`, async () => {
    const files = Array.from({ length: 70 }, (_, index) => fileWith(`file ${index}`));
    defer(() => files.forEach(closeSync));
    const ends: grpcfd.FdConnection[] = [];
    const onConnection = (connection: grpcfd.FdConnection) => {
      ends.push(connection);
      for (const file of files) connection.sendFd(file);
    };
    const { address } = await serve(
      {
        unary: grpcfd.handler(async ({ request }: grpc.ServerUnaryCall<Message, Message>, fds) => ({
          content: contentOf(await fds.recvFd(String(request['file']))),
        })),
      },
      { security: security === 'TLS 1.2' ? 'TLS' : security, options: { onConnection } },
    );
    const client =
      security === 'TLS 1.2'
        ? new TestClient(address, grpcfd.channelCredentials(await tls12(), { onConnection }))
        : await dial(address, { security, options: { onConnection } });
    // A call that has descriptors and waits for the connection.
    using fds = grpcfd.callCredentials();
    const first = fds.sendFd(files[0] ?? -1);
    assert.deepEqual(await client.unary({ file: first.ref }, fds.options()), { content: 'file 0' });
    assert.equal(ends.length, 2);
    for (const end of ends) {
      for (const [index, file] of files.entries()) {
        assert.equal(contentOf(await end.recvFd(grpcfd.fdToUrl(file))), `file ${index}`);
      }
    }
  });
}
