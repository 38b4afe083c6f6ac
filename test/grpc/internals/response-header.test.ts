import assert from 'node:assert/strict';
import type { Http2Server } from 'node:http2';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { addResponseHeader, addResponseTrailer } from '#src/grpc/internals/response-header.js';
import { defer, trackDescriptors } from '../../support/fd-table.js';
import { bind, freshAddress, shutDown, TestClient, testService } from '../../support/service.js';

trackDescriptors();

/** The values of the key in the headers and the trailers that a client sees. */
function valuesSeen(client: TestClient, path: string): Promise<{ headers: unknown[]; trailers: unknown[] }> {
  const { requestSerialize, responseDeserialize } = testService.unary;
  return new Promise((resolve) => {
    let headers: unknown[] = [];
    const call = client.grpc.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, () => {});
    call.on('metadata', (metadata: grpc.Metadata) => {
      headers = metadata.get('key');
    });
    call.on('status', ({ metadata }: grpc.StatusObject) => {
      resolve({ headers, trailers: metadata.get('key') });
    });
  });
}

test('a response of grpc-js has what is added to its headers and its trailers, once each', async () => {
  const server = new grpc.Server();
  server.addService(testService, {
    unary: (_call: unknown, callback: grpc.sendUnaryData<object>) => callback(null, {}),
  });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  defer(() => shutDown(server));
  const made: string[] = [];
  const make = (what: string) => () => {
    made.push(what);
    return `${made.length}`;
  };
  for (const each of (Reflect.get(server, 'http2Servers') as Map<Http2Server, unknown>).keys()) {
    each.prependListener('stream', (stream) => {
      addResponseHeader(stream, 'key', make('headers'));
      addResponseTrailer(stream, 'key', make('trailers'));
    });
  }
  const client = new TestClient(address, grpc.credentials.createInsecure());
  assert.deepEqual(await valuesSeen(client, testService.unary.path), { headers: ['1'], trailers: ['2'] });
  assert.deepEqual(made, ['headers', 'trailers']);
  // A response without headers of its own has its trailers in them.
  const refused = await valuesSeen(client, '/grpcfd.test.Test/NotThere');
  assert.deepEqual(refused, { headers: [], trailers: ['3'] });
  assert.deepEqual(made, ['headers', 'trailers', 'headers']);
});
