/** examples/frameworks/nice-grpc has calls of all kinds, in TLS too. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import {
  clientMiddleware,
  createChannel,
  type FdsContext,
  serverMiddleware,
  serverOptions,
} from 'grpcfd/nice';
import * as nice from 'nice-grpc';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { freshAddress, type Message, testService } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

type Context = nice.CallContext & FdsContext;
type Put = (request: Message, context: Context) => Promise<Message>;

interface Client {
  unary(request: Message, options?: object): Promise<Message>;
}

async function receive({ file }: Message, { fds }: Context): Promise<Message> {
  await using received = await fds.recvFile(String(file));
  return { content: contentOf(received.fd) };
}

async function serveUnary(
  put: Put = receive,
  options: object = serverOptions,
  credentials?: grpc.ServerCredentials,
): Promise<string> {
  const address = freshAddress();
  const server = nice.createServer(options).use(serverMiddleware);
  const never = async () => assert.fail('not this method');
  server.add(
    testService as never,
    { unary: put, clientStream: never, serverStream: never, bidi: never } as never,
  );
  await server.listen(address, credentials ?? grpcfd.serverCredentials());
  defer(() => server.shutdown());
  return address;
}

function dialWith(channel: grpc.Channel, ...before: nice.ClientMiddleware[]): Client {
  defer(() => channel.close());
  let factory: nice.ClientFactory<object> = nice.createClientFactory();
  for (const middleware of before) factory = factory.use(middleware);
  return factory.use(clientMiddleware).create(testService as never, channel) as unknown as Client;
}

const sending = (text = 'content') => {
  const fds = grpcfd.callCredentials();
  defer(() => fds.close());
  const fd = fileWith(text);
  const { ref } = fds.sendFd(fd);
  closeSync(fd);
  return { fds, file: ref };
};

test('the handlers of calls that run at the same time get the transceivers of their own calls', async () => {
  const client = dialWith(createChannel(await serveUnary()));
  const replies = ['a', 'b', 'c'].map((text) => {
    const { fds, file } = sending(text);
    return client.unary({ file }, { fds });
  });
  assert.deepEqual(await Promise.all(replies), [{ content: 'a' }, { content: 'b' }, { content: 'c' }]);
});

test('the keys between the two middlewares are not seen by handlers, and cannot be sent by clients', async () => {
  const seen: string[][] = [];
  const address = await serveUnary(async (_request, { metadata, fds }) => {
    seen.push([...metadata].map(([key]) => key));
    return { connected: fds.connection !== undefined };
  });
  const client = dialWith(createChannel(address));
  const metadata = nice.Metadata({ 'grpcfd-nice-bin': Buffer.from('x'), 'grpcfd-nice': 'x' });
  assert.deepEqual(await client.unary({}, { metadata }), { connected: true });
  assert.deepEqual(seen, [['user-agent']]);
});

test('a GrpcFdError of a handler becomes the status of the call, and other errors stay as they are', async () => {
  const address = await serveUnary(async ({ file, throws }, context) => {
    if (throws === true) throw new nice.ServerError(nice.Status.ABORTED, 'as it is');
    return receive({ file }, context);
  });
  const client = dialWith(createChannel(address));
  await assert.rejects(client.unary({ file: 'fd:nobody:1' }), {
    code: nice.Status.FAILED_PRECONDITION,
    details: /^"fd:nobody:1" names a descriptor of another connection/,
  });
  await assert.rejects(client.unary({ throws: true }), { code: nice.Status.ABORTED, details: 'as it is' });
});

test('the descriptors go with one call: a middleware that makes a second one sends none with it', async () => {
  let calls = 0;
  const address = await serveUnary((request, context) => {
    calls++;
    if (calls === 1) throw new nice.ServerError(nice.Status.UNAVAILABLE, 'the first one');
    return receive(request, context);
  });
  const retry: nice.ClientMiddleware = async function* retry(call, options) {
    try {
      return yield* call.next(call.request, options);
    } catch {
      return yield* call.next(call.request, options);
    }
  };
  const client = dialWith(createChannel(address), retry);
  const { fds, file } = sending();
  await assert.rejects(client.unary({ file }, { fds }), {
    code: nice.Status.FAILED_PRECONDITION,
    details: /names a descriptor of another connection/,
  });
  assert.equal(calls, 2);
});

test('a call with fds on another channel fails, and says what to do', async () => {
  const channel = nice.createChannel(
    (await serveUnary()).replace('unix:', 'unix://'),
    grpcfd.channelCredentials(),
  );
  const client = dialWith(channel);
  const { fds, file } = sending();
  await assert.rejects(client.unary({ file }, { fds }), {
    code: nice.Status.FAILED_PRECONDITION,
    details: /createChannel\(\) of grpcfd\/nice/,
  });
});

test('a server without the interceptor says so', async () => {
  const client = dialWith(createChannel(await serveUnary(receive, {})));
  await assert.rejects(client.unary({}), {
    code: nice.Status.INTERNAL,
    details: /createServer\(serverOptions\)/,
  });
});

test('a call over a connection without descriptors works until its handler asks for them', async () => {
  const { ServerCredentials } = await import('@grpc/grpc-js');
  const address = await serveUnary(
    async ({ asks }, context) => ({
      reply: asks === true ? context.fds.connection !== undefined : 'nothing',
    }),
    serverOptions,
    ServerCredentials.createInsecure(),
  );
  const client = dialWith(createChannel(address));
  assert.deepEqual(await client.unary({}), { reply: 'nothing' });
  await assert.rejects(client.unary({ asks: true }), {
    code: nice.Status.FAILED_PRECONDITION,
    details: /does not run over a connection that carries file descriptors/,
  });
});
