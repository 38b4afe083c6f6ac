import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { callHeaders, FRAME, message, reset } from '../support/http2-frames.js';
import {
  bind,
  dial,
  freshAddress,
  type Security,
  shutDown,
  stockServerCredentials,
  type TestClient,
  testService,
} from '../support/service.js';
import { within } from '../support/until.js';

trackDescriptors();

/** Far below `holdMs`. */
const SOON_MS = 1_000;
const DESCRIPTORS = 20;
const LARGEST_MESSAGE = 1_000;

/** A server that refuses calls in several ways, and none of whose handlers is to start. */
async function serveReluctantly(security: Security) {
  const connections: grpcfd.FdConnection[] = [];
  const server = new grpcfd.Server({
    'grpc.max_receive_message_length': LARGEST_MESSAGE,
    interceptors: [refuseMarked],
  });
  server.addService(testService, { unary: () => assert.fail('a handler has started') });
  const options = { onConnection: (connection: grpcfd.FdConnection) => void connections.push(connection) };
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials(await stockServerCredentials(security), options));
  defer(() => shutDown(server));
  return { address, connections };
}

const refuseMarked: grpc.ServerInterceptor = (_method, call) =>
  new grpc.ServerInterceptingCall(call, {
    start: (next) =>
      next({
        onReceiveMetadata: (metadata, go) => {
          if (metadata.get('refused').length > 0) {
            call.sendStatus({ code: grpc.status.PERMISSION_DENIED, details: 'refused' });
          } else {
            go(metadata);
          }
        },
      }),
  });

const { UNIMPLEMENTED, RESOURCE_EXHAUSTED, PERMISSION_DENIED } = grpc.status;

type Call = (client: TestClient, options: grpc.CallOptions) => Promise<unknown>;

function callPath(client: TestClient, path: string, options: grpc.CallOptions): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const { requestSerialize, responseDeserialize } = testService.unary;
    client.grpc.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, options, (error, reply) =>
      error ? reject(error) : resolve(reply),
    );
  });
}

const CALLS: Record<string, [grpc.status, Call]> = {
  'to a method that does not exist': [
    UNIMPLEMENTED,
    (client, options) => callPath(client, '/grpcfd.test.Test/Nothing', options),
  ],
  'to a service that does not exist': [
    UNIMPLEMENTED,
    (client, options) => callPath(client, '/grpcfd.test.Nobody/Unary', options),
  ],
  'to a method without a handler': [UNIMPLEMENTED, (client, options) => client.clientStream(options).reply],
  'with a message that is too large': [
    RESOURCE_EXHAUSTED,
    (client, options) => client.unary({ padding: 'x'.repeat(2 * LARGEST_MESSAGE) }, options),
  ],
  'that an interceptor refuses': [
    PERMISSION_DENIED,
    (client, options) => {
      const metadata = new grpc.Metadata();
      metadata.set('refused', 'yes');
      return client.unary({}, options, metadata);
    },
  ],
};

const NO_BODY = Buffer.alloc(0);
const BODY = message(1, {});

const REQUESTS: Record<string, { headers: Record<string, string>; body: Buffer }> = {
  'that is not gRPC': { headers: { 'content-type': 'text/html' }, body: BODY },
  'of an encoding that nobody knows': { headers: { 'grpc-encoding': 'nothing' }, body: BODY },
  'with a timeout that is none': { headers: { 'grpc-timeout': 'soon' }, body: BODY },
  'whose deadline passes before its message has come': { headers: { 'grpc-timeout': '50m' }, body: NO_BODY },
};

for (const security of ['plaintext', 'TLS'] as const) {
  for (const [what, [code, start]] of Object.entries(CALLS)) {
    test(`${security}: a call ${what} lets go of its descriptors at once`, async () => {
      const { address, connections } = await serveReluctantly(security);
      const client = await dial(address, { security });
      const fd = openSync('/dev/null', 'r');
      defer(() => closeSync(fd));
      using fds = grpcfd.callCredentials();
      for (let count = 0; count < DESCRIPTORS; count++) fds.sendFd(fd);
      const error = (await failure(start(client, fds.options()))) as grpc.ServiceError;
      assert.equal(error.code, code, error.message);
      const [connection] = connections;
      assert.ok(connection);
      await within(SOON_MS, 'all came', () => connection.stats().receivedFds === DESCRIPTORS);
      await within(SOON_MS, 'none is held', () => connection.stats().heldFds === 0);
    });
  }

  for (const [what, { headers, body }] of Object.entries(REQUESTS)) {
    test(`${security}: a request ${what} lets go of its descriptors at once`, async () => {
      const { address, connections } = await serveReluctantly(security);
      const client = await FrameClient.connect(address, security);
      await client.first(FRAME.SETTINGS);
      const fds = Array.from({ length: DESCRIPTORS }, () => openSync('/dev/null', 'r'));
      const claim = `id;a.0.1.${fds.map((fd) => native.inode(fd)).join('.')}`;
      client.sendFds(fds);
      native.closeAll(fds);
      const all = { 'grpcfd-fds': claim, ...headers };
      client.write(callHeaders(1, testService.unary.path, all), body);
      const [connection] = connections;
      assert.ok(connection);
      await within(SOON_MS, 'all came', () => connection.stats().receivedFds === DESCRIPTORS);
      await client.until(
        () => client.of(FRAME.HEADERS, 1).length + client.of(FRAME.RST_STREAM, 1).length > 0,
      );
      // As a client does whose own deadline passes: the server has ended its side only.
      if (body === NO_BODY) client.write(reset(1));
      await within(SOON_MS, 'none is held', () => connection.stats().heldFds === 0);
    });
  }
}
