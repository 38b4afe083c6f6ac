import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { installCallHook } from '#src/grpc/internals/call-hook.js';
import { trackDescriptors } from '../../support/fd-table.js';
import { bind, freshAddress, shutDown, TestClient, testService } from '../../support/service.js';

trackDescriptors();

test('the course of every call is seen, whatever becomes of it', async () => {
  const server = new grpc.Server();
  let handled = 0;
  server.addService(testService, {
    unary: (call: grpc.ServerUnaryCall<{ code?: number }, object>, callback: grpc.sendUnaryData<object>) => {
      handled++;
      const { code } = call.request;
      if (code === undefined) callback(null, {});
      else callback({ code, details: '' });
    },
    bidi: () => handled++,
  });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  const credentials = grpc.credentials.createFromMetadataGenerator((_options, callback) =>
    callback(null, new grpc.Metadata()),
  );
  let events: string[] = [];
  installCallHook((given) => {
    if (given !== credentials) return undefined;
    return {
      credentials,
      observer: {
        started: () => void events.push('started'),
        committed: () => void events.push('committed'),
        ended: () => void events.push('ended'),
      },
    };
  });
  const client = new TestClient(address, grpc.credentials.createInsecure());
  const nobody = new TestClient(freshAddress(), grpc.credentials.createInsecure());
  const cancelledAtOnce = () =>
    new Promise((resolve) => client.bidi({ credentials }).on('error', resolve).cancel());
  // Such a deadline is looked at before promises run, if no promise starts the call.
  const lateFromTheStart = () =>
    new Promise((resolve) => {
      setImmediate(() => resolve(client.unary({}, { credentials, deadline: Date.now() - 1 })));
    });
  const cases: [call: () => Promise<unknown>, expected: string[], handlers: number][] = [
    [() => client.unary({}, { credentials }), ['started', 'committed', 'ended'], 1],
    [() => client.unary({}), [], 1],
    [() => client.unary({ code: 5 }, { credentials }), ['started', 'ended'], 1],
    [() => nobody.unary({}, { credentials }), ['started', 'ended'], 0],
    // Stock starts the streams of these, and does not end them.
    [lateFromTheStart, ['started', 'ended'], 0],
    [cancelledAtOnce, ['started', 'ended'], 0],
  ];
  for (const [call, expected, handlers] of cases) {
    [events, handled] = [[], 0];
    await call().catch(() => {});
    assert.deepEqual(events, expected);
    // Behind what would have been sent on the connection before.
    await client.unary({});
    assert.equal(handled, handlers + 1);
  }
  client.grpc.close();
  await shutDown(server);
});
