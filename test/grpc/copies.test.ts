import assert from 'node:assert/strict';
import { closeSync, cpSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { runFixture } from '../support/child.js';
import { assertFailure, failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { bind, dial, freshAddress, shutDown, TestClient, testService } from '../support/service.js';
import { contentOf, fileWith, temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

const require = createRequire(import.meta.url);
const packageRoot = fileURLToPath(new URL('.', import.meta.resolve('grpcfd/package.json')));

/** A second copy of this package that uses the same grpc-js. */
async function secondCopy(): Promise<typeof grpcfd> {
  const directory = temporaryDirectory();
  for (const part of ['package.json', 'dist', 'native/build/Release/grpcfd.node']) {
    cpSync(join(packageRoot, part), join(directory, part), { recursive: true });
  }
  symlinkSync(join(packageRoot, 'node_modules'), join(directory, 'node_modules'));
  return (await import(pathToFileURL(join(directory, 'dist/index.js')).href)) as typeof grpcfd;
}

const COPIES = /This process has loaded \d+ copies of grpcfd/;

function assertNamesCopies(error: unknown, reason: grpcfd.GrpcFdErrorReason): void {
  const { details } = assertFailure(error, reason, 'FAILED_PRECONDITION');
  assert.match(details, COPIES);
  assert.ok(details.includes(join(packageRoot, 'dist/')), details);
  assert.match(details, /in .*grpcfd-\w+\/dist\//);
}

test('Two copies of the package recognise the errors of each other, and clients of one work with servers of the other', async () => {
  const copy = await secondCopy();
  // Both copies make credentials before the first call of the process. Each copy must find its own calls, in either order.
  const mine = grpcfd.callCredentials();
  const theirs = copy.callCredentials();
  assert.notEqual(copy.GrpcFdError, grpcfd.GrpcFdError);
  assert.throws(() => copy.callCredentials().sendFd(-1), grpcfd.GrpcFdError);
  assert.ok(!(new Error('other') instanceof grpcfd.GrpcFdError));

  const server = new copy.Server();
  server.addService(testService, {
    unary: copy.handler(async (call, fds) => ({ content: contentOf(await fds.recvFd(call.request.file)) })),
  });
  const address = freshAddress();
  await bind(server, address, copy.serverCredentials());
  const pairs = [
    [await dial(address), mine, grpcfd],
    [new TestClient(address, copy.channelCredentials()), theirs, copy],
  ] as const;
  for (const [client, first, library] of pairs) {
    for (const fds of [first, library.callCredentials()]) {
      const file = fileWith('from a copy');
      const { ref } = fds.sendFd(file);
      closeSync(file);
      assert.deepEqual(await client.unary({ file: ref }, fds.options()), { content: 'from a copy' });
    }
    client.grpc.close();
  }
  await shutDown(server);
});

test('Call credentials of one copy of the package fail with a reason on a channel of another copy', async () => {
  const copy = await secondCopy();
  const server = new grpcfd.Server();
  server.addService(testService, { unary: grpcfd.handler(() => ({})) });
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials());
  const client = await dial(address);
  const fds = copy.callCredentials();
  const { sent } = fds.sendFd(0);
  await client.unary({}, fds.options());
  assertNamesCopies(await failure(sent), 'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT');
  client.grpc.close();
  await shutDown(server);
});

test('Server credentials of one copy of the package are refused by a server of another copy, with both folders', async () => {
  const copy = await secondCopy();
  const server = new grpcfd.Server();
  const error = await failure(bind(server, freshAddress(), copy.serverCredentials()));
  assertNamesCopies(error, 'ERR_GRPCFD_STOCK_SERVER');
  server.forceShutdown();
});

test('A handler of one copy of the package on a server of another says so to its client, without folders', async () => {
  const copy = await secondCopy();
  const server = new grpcfd.Server();
  server.addService(testService, {
    unary: copy.handler(async (_call, fds) => ({ content: contentOf(await fds.recvFd('inode://1/2')) })),
  });
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials());
  const client = await dial(address);
  const error = (await failure(client.unary({}))) as grpc.ServiceError;
  assert.equal(error.code, grpc.status.FAILED_PRECONDITION);
  assert.match(error.details, COPIES);
  assert.doesNotMatch(error.details, /dist/);
  client.grpc.close();
  await shutDown(server);
});

test('The package can be loaded with require()', () => {
  const required = require('grpcfd') as typeof grpcfd;
  assert.equal(required.Server, grpcfd.Server);
  assert.ok(new required.Server() instanceof grpc.Server);
  assert.equal(typeof (require('grpcfd/socket') as { connect: unknown }).connect, 'function');
});

test('Importing the package changes nothing in grpc-js', async () => {
  const result = await runFixture('./fixtures/imported.js', import.meta.url);
  assert.deepEqual(result, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
});
