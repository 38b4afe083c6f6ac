import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import type * as net from 'node:net';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import {
  childCredentialsOf,
  type ListenHandle,
  listenOnUnixPathsWith,
  replaceCreateHttp2Server,
  streamOf,
  type UnixPlace,
} from '#src/grpc/internals/http2-server.js';
import { native } from '#src/native/binding.js';
import { bridged } from '../../support/bridged.js';
import { trackDescriptors } from '../../support/fd-table.js';

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
