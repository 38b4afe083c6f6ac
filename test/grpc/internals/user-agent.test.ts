import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { isFromOtherLibrary } from '#src/grpc/internals/user-agent.js';
import { defer, trackDescriptors } from '../../support/fd-table.js';
import { freshAddress, TestClient } from '../../support/service.js';

trackDescriptors();

test('a call of grpc-js is known by its user agent, whatever the application adds', async () => {
  const server = http2.createServer();
  const address = freshAddress();
  server.listen(address.slice('unix:'.length));
  await once(server, 'listening');
  defer(() => server.close());
  const client = new TestClient(address, grpc.credentials.createInsecure(), {
    'grpc.primary_user_agent': 'before',
    'grpc.secondary_user_agent': 'behind',
  });
  const metadata = new grpc.Metadata();
  metadata.set('user-agent', 'grpc-go/1.85.0');
  const call = client.unary({}, {}, metadata);
  const [stream, headers] = (await once(server, 'stream')) as [
    http2.ServerHttp2Stream,
    http2.IncomingHttpHeaders,
  ];
  assert.match(String(headers['user-agent']), /^before grpc-node-js\/.* behind$/);
  assert.equal(isFromOtherLibrary(headers), false);
  stream.close();
  await assert.rejects(call);
});

test('a call of another library is known, and one that names none is not', () => {
  assert.equal(isFromOtherLibrary({ 'user-agent': 'grpc-go/1.85.0' }), true);
  assert.equal(isFromOtherLibrary({}), false);
});
