import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../../support/fd-table.js';
import { withoutAuthContext } from '../../support/grpc-version.js';
import {
  bind,
  freshAddress,
  SECURITIES,
  type Security,
  shutDown,
  stockChannelCredentials,
  stockServerCredentials,
  TestClient,
  testService,
} from '../../support/service.js';

trackDescriptors();

test('grpc-js has the class whose getAuthContext() every call of a handler asks in the end', {
  skip: withoutAuthContext,
}, () => {
  const file = createRequire(import.meta.url)('@grpc/grpc-js/build/src/server-interceptors.js');
  assert.equal(typeof file.BaseServerInterceptingCall?.prototype.getAuthContext, 'function');
});

interface Context {
  readonly transportSecurityType?: string;
  readonly sslPeerCertificate?: object;
  readonly unixPeer?: grpcfd.Peer;
}

/** What `getAuthContext()` gives to a handler of that server. */
async function contextIn(
  server: grpc.Server,
  credentials: grpc.ServerCredentials,
  security: Security,
): Promise<Context> {
  const contexts: unknown[] = [];
  server.addService(testService, {
    unary: (call: grpc.ServerUnaryCall<unknown, unknown>, callback: grpc.sendUnaryData<unknown>) => {
      contexts.push(call.getAuthContext());
      callback(null, {});
    },
  });
  const address = freshAddress();
  await bind(server, address, credentials);
  defer(() => shutDown(server));
  await new TestClient(address, await stockChannelCredentials(security)).unary({});
  return contexts[0] as Context;
}

for (const security of SECURITIES) {
  test(`${security}: the auth context of a call has the peer beside what grpc-js tells`, {
    skip: withoutAuthContext,
  }, async () => {
    const credentials = await stockServerCredentials(security);
    // Versions of grpc-js differ in it.
    const stock = await contextIn(new grpc.Server(), credentials, security);
    const ours = await contextIn(new grpcfd.Server(), grpcfd.serverCredentials(credentials), security);
    const { unixPeer, ...rest } = ours;
    assert.equal(unixPeer?.pid, process.pid);
    assert.deepEqual(Object.keys(rest), Object.keys(stock));
    assert.equal(rest.transportSecurityType, stock.transportSecurityType);
  });
}
