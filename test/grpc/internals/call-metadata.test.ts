import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import {
  componentsOf,
  isEmptyCallCredentials,
  metadataInTurn,
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

/** The class of call credentials of grpc-js is abstract. */
class InTurn extends grpc.CallCredentials {
  readonly #takeTurn: (start: () => void) => void;
  readonly #make: () => Promise<grpc.Metadata>;

  constructor(make: () => Promise<grpc.Metadata>, takeTurn: (start: () => void) => void) {
    super();
    this.#make = make;
    this.#takeTurn = takeTurn;
  }

  generateMetadata() {
    return metadataInTurn(this.#make(), this.#takeTurn);
  }

  compose(): grpc.CallCredentials {
    return this;
  }

  _equals(other: grpc.CallCredentials): boolean {
    return this === other;
  }
}

for (const how of ['alone', 'composed']) {
  test(`a call starts its stream in its turn, ${how === 'alone' ? 'inside start()' : 'some time after start() where its credentials are composed'}`, async () => {
    const server = new grpc.Server();
    server.addService(testService, {
      unary: (call: grpc.ServerUnaryCall<object, object>, callback: grpc.sendUnaryData<object>) => {
        callback(null, { late: call.metadata.get('late') });
      },
    });
    const address = freshAddress();
    await bind(server, address, grpc.ServerCredentials.createInsecure());
    const events: string[] = [];
    const metadata = new grpc.Metadata();
    setMetadataAtStreamStart(metadata, 'late', () => {
      events.push('the stream starts');
      return 'made';
    });
    const inTurn = new InTurn(
      async () => metadata,
      (start) => {
        setImmediate(() => {
          events.push('before');
          start();
          events.push('after');
        });
      },
    );
    const token = grpc.credentials.createFromMetadataGenerator((_, callback) => {
      callback(null, new grpc.Metadata());
    });
    const client = new TestClient(address, grpc.credentials.createInsecure());
    const credentials = how === 'alone' ? inTurn : token.compose(inTurn);
    assert.deepEqual(await client.unary({}, { credentials }), { late: ['made'] });
    const expected = ['before', 'the stream starts', 'after'];
    assert.deepEqual(
      how === 'alone' ? events : [...events].sort(),
      how === 'alone' ? expected : expected.sort(),
    );
    client.grpc.close();
    await shutDown(server);
  });
}

test('a call fails with the error of its metadata, and with that of its turn', async () => {
  const server = new grpc.Server();
  server.addService(testService, { unary: () => assert.fail('no stream starts') });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  const client = new TestClient(address, grpc.credentials.createInsecure());
  const error = Object.assign(new Error('no token'), { code: grpc.status.UNAUTHENTICATED });
  const fails = () => {
    throw error;
  };
  for (const credentials of [
    new InTurn(
      async () => fails(),
      (start) => start(),
    ),
    new InTurn(async () => new grpc.Metadata(), fails),
  ]) {
    await assert.rejects(client.unary({}, { credentials }), { code: error.code, details: /no token/ });
  }
  client.grpc.close();
  await shutDown(server);
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
