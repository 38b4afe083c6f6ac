import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { installCallHook } from '#src/grpc/internals/call-hook.js';
import { trackDescriptors } from '../../support/fd-table.js';
import { bind, freshAddress, shutDown, TestClient, testService } from '../../support/service.js';

trackDescriptors();

test('the course of every call is seen, whatever becomes of it', async () => {
  const server = new grpc.Server();
  server.addService(testService, {
    unary: (call: grpc.ServerUnaryCall<{ code?: number }, object>, callback: grpc.sendUnaryData<object>) => {
      const { code } = call.request;
      if (code === undefined) callback(null, {});
      else callback({ code, details: '' });
    },
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
  const cases: [call: () => Promise<unknown>, expected: string[]][] = [
    [() => client.unary({}, { credentials }), ['started', 'committed', 'ended']],
    [() => client.unary({}), []],
    [() => client.unary({ code: 5 }, { credentials }), ['started', 'ended']],
    [() => nobody.unary({}, { credentials }), ['started', 'ended']],
    [() => client.unary({}, { credentials, deadline: Date.now() - 1 }), ['started', 'ended']],
  ];
  for (const [call, expected] of cases) {
    events = [];
    await call().catch(() => {});
    assert.deepEqual(events, expected);
  }
  client.grpc.close();
  await shutDown(server);
});
