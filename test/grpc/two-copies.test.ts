import assert from 'node:assert/strict';
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { assertFailure, failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { bind, freshAddress, shutDown, testService } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

const require = createRequire(import.meta.url);
const own = dirname(dirname(dirname(require.resolve('@grpc/grpc-js'))));
const folder = join(temporaryDirectory(), 'a folder (of two)', 'node_modules/@grpc');
mkdirSync(folder, { recursive: true });
cpSync(own, join(folder, 'grpc-js'), { recursive: true });
symlinkSync(join(own, '../proto-loader'), join(folder, 'proto-loader'));
for (const name of ['protobufjs', 'long', 'lodash.camelcase', 'yargs', '@js-sdsl']) {
  symlinkSync(join(own, '../..', name), join(folder, '..', name));
}
const other = require(join(folder, 'grpc-js')) as typeof grpc;

/** The error names both copies. */
function assertTwoCopies(error: unknown): void {
  const { details } = assertFailure(error, 'ERR_GRPCFD_TWO_COPIES', 'FAILED_PRECONDITION');
  assert.match(details, /two copies of @grpc\/grpc-js/);
  assert.ok(details.includes(own) && details.includes(join(folder, 'grpc-js')), details);
}

function thrown(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return assert.fail('nothing was thrown');
}

const credentials = grpcfd.channelCredentials();
const Client = other.makeGenericClientConstructor(testService, 'Test');

test('credentials of this package are refused by another copy of grpc-js with both paths', async () => {
  assertTwoCopies(thrown(() => new Client('unix:nowhere', credentials)));
  const server = new other.Server();
  assertTwoCopies(thrown(() => server.bindAsync('unix:nowhere', grpcfd.serverCredentials(), () => {})));
  server.forceShutdown();
});

test('credentials of another copy of grpc-js are refused with both paths', () => {
  assertTwoCopies(thrown(() => grpcfd.channelCredentials(other.credentials.createInsecure() as never)));
  assertTwoCopies(thrown(() => grpcfd.serverCredentials(other.ServerCredentials.createInsecure() as never)));
  const calls = other.credentials.createFromMetadataGenerator((_options, callback) => callback(null));
  assertTwoCopies(thrown(() => grpcfd.callCredentials(calls as never)));
  const fds = grpcfd.callCredentials();
  assertTwoCopies(thrown(() => fds.options({ credentials: calls as never })));
  fds.close();
});

test('a stock client of another copy fails its call with descriptors, and so do what was sent and what waits', async () => {
  const server = new grpc.Server();
  server.addService(testService, {
    unary: (_call: unknown, callback: grpc.sendUnaryData<object>) => callback(null, {}),
  });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  const client = new Client(address, other.credentials.createInsecure());
  const fds = grpcfd.callCredentials();
  const { sent } = fds.sendFilename('/dev/null');
  const waiting = failure(fds.recvFd('inode://1/2'));
  const error = await new Promise<grpc.ServiceError | null>((resolve) => {
    client['unary']?.({}, fds.options(), resolve);
  });
  // grpc-js turns FAILED_PRECONDITION of call credentials into INTERNAL.
  assert.equal(error?.code, grpc.status.INTERNAL);
  assert.match(error?.details ?? '', /two copies of @grpc\/grpc-js/);
  assertTwoCopies(await failure(sent));
  assertTwoCopies(await waiting);
  fds.close();
  client.close();
  await shutDown(server);
});

test('a program that formats stacks in its own way has the same errors, and keeps its way', async () => {
  const { prepareStackTrace } = Error;
  const own: NonNullable<typeof prepareStackTrace> = (_error, sites) => sites;
  Error.prepareStackTrace = own;
  try {
    assertTwoCopies(thrown(() => new Client('unix:nowhere', credentials)));
    const server = new grpcfd.Server();
    await bind(server, freshAddress(), grpcfd.serverCredentials());
    await shutDown(server);
    assert.equal(Error.prepareStackTrace, own);
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
  }
});

test('the classes of one copy are still told apart and inspected as before', () => {
  assert.ok(credentials instanceof grpc.ChannelCredentials);
  assert.ok(!(credentials instanceof grpc.ServerCredentials));
  assert.ok(grpcfd.serverCredentials() instanceof grpc.ServerCredentials);
  assert.ok(!(credentials instanceof Map));
});
