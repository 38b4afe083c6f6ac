/** What fromCall() takes: see docs/frameworks.md, which has the example with AsyncLocalStorage. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { bind, dial, freshAddress, type Message, shutDown, testService } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

test('fromCall takes the call of a server interceptor, and what stands in between may remember it', async () => {
  const current = new AsyncLocalStorage<object>();
  const interceptor: grpc.ServerInterceptor = (_method, call) =>
    new grpc.ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, nextMetadata) => current.run(call, nextMetadata, metadata),
          onReceiveMessage: (message, nextMessage) => current.run(call, nextMessage, message),
          onReceiveHalfClose: (nextHalfClose) => current.run(call, nextHalfClose),
        }),
    });
  const server = new grpcfd.Server({ interceptors: [interceptor, interceptor] });
  const receive = async (name: unknown) => {
    const fds = grpcfd.fromCall(current.getStore() ?? assert.fail('no call'));
    await using file = await fds.recvFile(String(name));
    return { content: contentOf(file.fd) };
  };
  server.addService(testService, {
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      assert.equal(fds, grpcfd.fromCall(current.getStore() ?? assert.fail('no call')));
      return receive(call.request['file']);
    }),
  });
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials());
  defer(() => shutDown(server));
  const client = await dial(address);
  for (const text of ['one', 'two']) {
    using fds = grpcfd.callCredentials();
    const fd = fileWith(text);
    const { ref } = fds.sendFd(fd);
    closeSync(fd);
    assert.deepEqual(await client.unary({ file: ref }, fds.options()), { content: text });
  }
});

test('fromCall and tryFromCall say that an object is not a call', () => {
  const notCalls = [{}, { metadata: new grpc.Metadata(), peer: 'unix:' }, { call: {} }, { nextCall: null }];
  const expected = { reason: 'ERR_GRPCFD_INVALID_ARGUMENT', message: /this object is none of them/ };
  for (const each of notCalls) {
    assert.throws(() => grpcfd.fromCall(each), expected);
    assert.throws(() => grpcfd.tryFromCall(each), expected);
  }
});

test('a handler runs with the call of a unit test, which carries nothing', async () => {
  const handle = grpcfd.handler(async (_call: grpc.ServerUnaryCall<object, object>, fds) => {
    const file = await fds.recvFile('inode://1/2');
    return { file };
  });
  const error = await new Promise((resolve) =>
    handle({ request: {} } as grpc.ServerUnaryCall<object, object>, (failed) => resolve(failed)),
  );
  assert.equal((error as grpcfd.GrpcFdError).reason, 'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT');
});
