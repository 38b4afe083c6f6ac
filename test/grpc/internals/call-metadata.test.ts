import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import {
  componentsOf,
  isEmptyCallCredentials,
  setMetadataAtStreamStart,
} from '#src/grpc/internals/call-metadata.js';
import { trackDescriptors } from '../../support/fd-table.js';
import { bind, freshAddress, shutDown, TestClient, testService } from '../../support/service.js';

trackDescriptors();

const CHANGED = { reason: 'ERR_GRPCFD_INTERNALS_CHANGED', message: /Node v|grpc-js/ };

test('metadata is made once, when the stream starts, after every other credential', async () => {
  const server = new grpc.Server();
  server.addService(testService, {
    unary: (call: grpc.ServerUnaryCall<object, object>, callback: grpc.sendUnaryData<object>) => {
      callback(null, { late: call.metadata.get('late') });
    },
  });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  const events: string[] = [];
  const generator = (name: string, fill: (metadata: grpc.Metadata) => void) =>
    grpc.credentials.createFromMetadataGenerator((_options, callback) => {
      const metadata = new grpc.Metadata();
      fill(metadata);
      setImmediate(() => {
        events.push(name);
        callback(null, metadata);
      });
    });
  const late = generator('late', (metadata) => {
    setMetadataAtStreamStart(metadata, 'late', () => {
      events.push('made');
      return `after ${events.length}`;
    });
  });
  const credentials = late.compose(generator('other', () => {}));
  const client = new TestClient(address, grpc.credentials.createInsecure());
  assert.deepEqual(await client.unary({}, { credentials }), { late: ['after 3'] });
  assert.deepEqual(events, ['late', 'other', 'made']);
  client.grpc.close();
  await shutDown(server);
  assert.throws(() => setMetadataAtStreamStart({} as grpc.Metadata, 'a', () => ''), CHANGED);
});

test('composed call credentials show their parts, and empty ones are known', () => {
  const [a, b, c] = [1, 2, 3].map(() => grpc.credentials.createFromMetadataGenerator(() => {}));
  assert.ok(a && b && c);
  assert.deepEqual(componentsOf(a), [a]);
  assert.deepEqual(componentsOf(a.compose(b).compose(c)), [a, b, c]);
  assert.deepEqual(componentsOf(a.compose(b.compose(c))), [a, b, c]);
  assert.ok(isEmptyCallCredentials(grpc.credentials.createEmpty()));
  assert.ok(!isEmptyCallCredentials(a));
});
