import assert from 'node:assert/strict';
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { assertFailure, failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { bind, freshAddress, shutDown, TestClient, testService } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = join(temporaryDirectory(), 'node_modules/grpcfd');
cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
mkdirSync(join(folder, 'native'));
symlinkSync(join(root, 'native/build'), join(folder, 'native/build'));
// Both copies use one grpc-js.
symlinkSync(join(root, 'node_modules/@grpc'), join(folder, '../@grpc'));
const other = createRequire(import.meta.url)(join(folder, 'dist/index.js')) as typeof grpcfd;

const TWO = /This process has loaded 2 copies of grpcfd/;

function assertNamesBoth(error: unknown, reason: grpcfd.GrpcFdErrorReason): void {
  const { details } = assertFailure(error, reason, 'FAILED_PRECONDITION');
  assert.match(details, TWO);
  assert.ok(details.includes(join(root, 'dist/')) && details.includes(join(folder, 'dist/')), details);
}

test('descriptors on a channel of another copy of this package are refused, and the error names both copies', async () => {
  const server = new grpcfd.Server();
  server.addService(testService, { unary: grpcfd.handler(async () => ({})) });
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials());
  const client = new TestClient(address, other.channelCredentials());
  const fds = grpcfd.callCredentials();
  const { sent } = fds.sendFilename('/dev/null');
  const refused = failure(sent);
  await client.unary({}, fds.options());
  assertNamesBoth(await refused, 'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT');
  fds.close();
  client.grpc.close();
  await shutDown(server);
});

test('server credentials of another copy of this package are refused, and the error names both copies', async () => {
  const server = new grpcfd.Server();
  const error = await failure(bind(server, freshAddress(), other.serverCredentials()));
  assertNamesBoth(error, 'ERR_GRPCFD_STOCK_SERVER');
  server.forceShutdown();
});

test('a handler of another copy of this package says so to its client, without paths', async () => {
  const server = new grpcfd.Server();
  server.addService(testService, {
    unary: other.handler(async (_call, fds) => ({ token: String(await fds.recvFd('inode://1/2')) })),
  });
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials());
  const client = new TestClient(address, grpcfd.channelCredentials());
  const error = (await failure(client.unary({}))) as grpc.ServiceError;
  assert.equal(error.code, grpc.status.FAILED_PRECONDITION);
  assert.match(error.details, TWO);
  assert.doesNotMatch(error.details, /dist/);
  client.grpc.close();
  await shutDown(server);
});
