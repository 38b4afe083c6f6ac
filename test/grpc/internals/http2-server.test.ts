import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import type * as net from 'node:net';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import {
  beforeClose,
  childCredentialsOf,
  type ListenHandle,
  listenOnUnixPathsWith,
  refuseStreamsWith,
  replaceCreateHttp2Server,
  streamOf,
  type UnixPlace,
} from '#src/grpc/internals/http2-server.js';
import { native } from '#src/native/binding.js';
import { bridged } from '../../support/bridged.js';
import { defer, trackDescriptors } from '../../support/fd-table.js';
import { bind, freshAddress, shutDown, TestClient, testService } from '../../support/service.js';

trackDescriptors();

type Listen = (place: UnixPlace, onConnection: (fd: number) => void) => ListenHandle & { address: string };

function listening(listen: Listen) {
  const onConnection = (fd: number, accept: (open: () => net.Socket) => void) => {
    accept(() => bridged(fd).socket);
  };
  return { listen, onConnection, prepareShared: () => {}, backlog: undefined, sharesPaths: true };
}

const CHANGED = { reason: 'ERR_GRPCFD_INTERNALS_CHANGED', message: /Node v|grpc-js/ };

test('net.Server listens with a handle of ours, and counts its connections by it', async () => {
  const server = http2.createServer();
  let connected: ((fd: number) => void) | undefined;
  let closed = false;
  listenOnUnixPathsWith(
    server,
    listening((place, onConnection) => {
      assert.deepEqual(place, { path: '/some/path' });
      connected = onConnection;
      return { address: '/some/path', close: () => (closed = true), ref: () => {}, unref: () => {} };
    }),
  );
  server.listen({ path: '/some/path' });
  await once(server, 'listening');
  assert.deepEqual([server.listening, server.address()], [true, '/some/path']);
  const [a, b] = native.socketPair();
  connected?.(a);
  const count = () =>
    new Promise((resolve) => server.getConnections((_error, connections) => resolve(connections)));
  assert.equal(await count(), 1);
  const gone = once(server, 'close');
  server.close();
  assert.equal(closed, true);
  native.close(b);
  await gone;
  assert.equal(await count(), 0);
});

test('an error of ours is reported as a failed listen, and TCP is left to Node', async () => {
  const server = http2.createServer();
  listenOnUnixPathsWith(
    server,
    listening(() => {
      throw new Error('not here');
    }),
  );
  server.listen({ path: '/some/path' });
  assert.match(String(await once(server, 'error')), /not here/);
  server.listen({ host: 'localhost', port: 0 });
  await once(server, 'listening');
  server.close();
  await once(server, 'close');
});

test('the credentials inside others are found; what is missing is reported', () => {
  const inner = grpc.ServerCredentials.createInsecure();
  const outer = grpc.experimental.createServerCredentialsWithInterceptors(inner, []);
  assert.equal(childCredentialsOf(outer), inner);
  assert.equal(childCredentialsOf(inner), undefined);
  assert.equal(streamOf({}), undefined);
  assert.throws(
    () => replaceCreateHttp2Server({} as grpc.Server, (_credentials, create) => create()),
    CHANGED,
  );
  const never = listening(() => assert.fail());
  assert.throws(() => listenOnUnixPathsWith({} as http2.Http2Server, never), CHANGED);
});

for (const [name, end] of [
  ['tryShutdown', (server: grpc.Server) => server.tryShutdown(() => {})],
  ['forceShutdown', (server: grpc.Server) => server.forceShutdown()],
  ['unbind', (server: grpc.Server, address: string) => server.unbind(address)],
] as const) {
  test(`${name}() of grpc.Server closes the HTTP/2 server, which tells so before`, async () => {
    class Told extends grpc.Server {}
    const states: boolean[] = [];
    replaceCreateHttp2Server(Told.prototype, (_credentials, create) => {
      const server = create();
      beforeClose(server, () => void states.push(server.listening));
      return server;
    });
    const server = new Told();
    const address = freshAddress();
    await bind(server, address, grpc.ServerCredentials.createInsecure());
    end(server, address);
    assert.deepEqual(states, [true]);
    server.forceShutdown();
  });
}

test('a call that is refused is answered with the status, and grpc-js does not hear of it', async () => {
  class Refusing extends grpc.Server {}
  replaceCreateHttp2Server(Refusing.prototype, (_credentials, create) => {
    const server = create();
    refuseStreamsWith(server, (_stream, headers) =>
      headers['refuse'] === undefined ? undefined : { code: 9, details: 'not this ünë' },
    );
    return server;
  });
  const server = new Refusing();
  let handled = 0;
  server.addService(testService, {
    unary: (_call: unknown, callback: grpc.sendUnaryData<unknown>) => {
      handled++;
      callback(null, {});
    },
  });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  defer(() => shutDown(server));
  const client = new TestClient(address, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  metadata.set('refuse', 'yes');
  await assert.rejects(client.unary({}, {}, metadata), { code: 9, details: 'not this ünë' });
  await client.unary({});
  assert.equal(handled, 1);
  client.grpc.close();
});
