/** examples/frameworks/connect-node has calls of all kinds, in TLS too. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  Code,
  ConnectError,
  createClient,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from '@connectrpc/connect';
import { connectNodeAdapter, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { adapterOptions, fdsOf, transportOptions, withFds } from 'grpcfd/connect';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { bind, freshAddress, shutDown } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';
import { grpcStore, Store } from './fixtures/store.js';

trackDescriptors();

type Put = (request: { file: string }, context: HandlerContext) => Promise<{ text: string }>;

const receive: Put = async ({ file }, context) => {
  await using received = await fdsOf(context).recvFile(file);
  return { text: contentOf(received.fd) };
};

const withContent = <T>(text: string, use: (fd: number) => T): T => {
  const fd = fileWith(text);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
};

interface Serving {
  readonly put?: Put;
  readonly carries?: boolean;
  readonly options?: object;
}

async function serveConnect({ put = receive, carries = true, options = {} }: Serving = {}): Promise<string> {
  const address = freshAddress();
  const handler = connectNodeAdapter({
    ...adapterOptions,
    routes: (router) =>
      router.service(Store, {
        put,
        get: ({ text }, context) => ({ file: withContent(text, (fd) => fdsOf(context).sendFd(fd).ref) }),
      }),
  });
  const server = http2.createServer(options, handler);
  if (carries) assert.equal(grpcfd.carryDescriptorsOn(server), server);
  server.listen({ path: address.slice('unix:'.length) });
  await once(server, 'listening');
  defer(() => promisify(server.close.bind(server))());
  return address;
}

function dialConnect(address: string, options?: grpcfd.FdHttp2ClientOptions) {
  const made = transportOptions(address, options);
  defer(() => made.sessionManager.abort());
  return { client: createClient(Store, createGrpcTransport(made)), ...made };
}

function sending(text: string) {
  const fds = grpcfd.callCredentials();
  defer(() => fds.close());
  return { fds, file: withContent(text, (fd) => fds.sendFd(fd).ref) };
}

test('calls at the same time send and receive their own descriptors, by reference', async () => {
  const { client } = dialConnect(await serveConnect());
  const replies = ['a', 'b', 'c'].map(async (text) => {
    const { fds, file } = sending(text);
    assert.match(file, /^fd:/);
    const put = await client.put({ file }, withFds(fds));
    const back = grpcfd.callCredentials();
    const got = await client.get({ text }, withFds(back));
    assert.match(got.file, /^fd:/);
    await using received = await back.recvFile(got.file);
    const content = contentOf(received.fd);
    back.close();
    return [put.text, content];
  });
  assert.deepEqual(await Promise.all(replies), [
    ['a', 'a'],
    ['b', 'b'],
    ['c', 'c'],
  ]);
});

test('calls that share the context values of a caller have descriptors of their own, and leave the values as they are', async () => {
  const { client } = dialConnect(await serveConnect());
  const key = createContextKey('default');
  const contextValues = createContextValues().set(key, 'of the caller');
  const before = { ...contextValues };
  const [a, b] = [sending('a'), sending('b')];
  // Both are made before either call starts.
  const options = [withFds(a.fds, { contextValues }), withFds(b.fds, { contextValues })] as const;
  const replies = [client.put({ file: a.file }, options[0]), client.put({ file: b.file }, options[1])];
  assert.deepEqual(
    (await Promise.all(replies)).map(({ text }) => text),
    ['a', 'b'],
  );
  assert.deepEqual({ ...contextValues }, before);
  assert.deepEqual(
    options.map((each) => each.contextValues?.get(key)),
    ['of the caller', 'of the caller'],
  );
});

test('a session manager of another kind is refused before anything is sent, and the error says what to use', async () => {
  const requests: string[] = [];
  const server = http2.createServer((request) => void requests.push(request.url));
  server.listen(0, 'localhost');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const { interceptors } = transportOptions(freshAddress());
  const baseUrl = `http://localhost:${port}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  defer(() => sessionManager.abort());
  const client = createClient(Store, createGrpcTransport({ baseUrl, interceptors, sessionManager }));
  const { fds, file } = sending('content');
  const error = await client.put({ file }, withFds(fds)).catch((each: unknown) => each);
  assert.ok(error instanceof ConnectError && error.cause instanceof grpcfd.GrpcFdError, String(error));
  assert.deepEqual(
    [error.code, error.cause.reason],
    [Code.FailedPrecondition, 'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT'],
  );
  assert.match(error.rawMessage, /createGrpcTransport\(transportOptions\(address\)\)/);
  // What was sent would have come before the end of the session.
  sessionManager.abort();
  await promisify(server.close.bind(server))();
  assert.deepEqual(requests, []);
});

test('a client of Connect calls a server of grpc-js', async () => {
  const server = new grpcfd.Server();
  server.addService(grpcStore as grpc.ServiceDefinition, {
    put: grpcfd.handler(async (call: grpc.ServerUnaryCall<{ file: string }, { text: string }>, fds) => {
      await using received = await fds.recvFile(call.request.file);
      return { text: contentOf(received.fd) };
    }),
    get: grpcfd.handler(async (call: grpc.ServerUnaryCall<{ text: string }, { file: string }>, fds) => ({
      file: withContent(call.request.text, (fd) => fds.sendFd(fd).ref),
    })),
  });
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials());
  const { client, sessionManager } = dialConnect(address);
  const { fds, file } = sending('to grpc-js');
  assert.equal((await client.put({ file }, withFds(fds))).text, 'to grpc-js');
  const back = grpcfd.callCredentials();
  const got = await client.get({ text: 'from grpc-js' }, withFds(back));
  await using received = await back.recvFile(got.file);
  assert.equal(contentOf(received.fd), 'from grpc-js');
  back.close();
  sessionManager.abort();
  await shutDown(server);
});

test('a client of grpc-js calls a server of Connect', async () => {
  const address = await serveConnect();
  const Client = grpc.makeGenericClientConstructor(grpcStore as grpc.ServiceDefinition, 'Store');
  const client = new Client(address, grpcfd.channelCredentials());
  defer(() => client.close());
  const call = (name: string, request: object, options: grpc.CallOptions) =>
    promisify(client[name]?.bind(client) ?? assert.fail())(request, options) as Promise<
      Record<string, string>
    >;
  const { fds, file } = sending('to Connect');
  assert.equal((await call('put', { file }, fds.options()))['text'], 'to Connect');
  const back = grpcfd.callCredentials();
  defer(() => back.close());
  const got = await call('get', { text: 'from Connect' }, back.options());
  await using received = await back.recvFile(String(got['file']));
  assert.equal(contentOf(received.fd), 'from Connect');
});

test('a GrpcFdError of a handler becomes the status of the call, and other errors stay as they are', async () => {
  const put: Put = (request, context) => {
    if (request.file === '') throw new ConnectError('as it is', Code.Aborted);
    return receive(request, context);
  };
  const { client } = dialConnect(await serveConnect({ put }));
  await assert.rejects(client.put({ file: 'fd:nobody:1' }), {
    code: Code.FailedPrecondition,
    rawMessage: /^"fd:nobody:1" names a descriptor of another connection/,
  });
  await assert.rejects(client.put({}), { code: Code.Aborted, rawMessage: 'as it is' });
});

test('what a handler does not receive is closed at the end of its call', async () => {
  const address = await serveConnect({ put: async () => ({ text: 'nothing' }) });
  const { client } = dialConnect(address);
  const { fds, file } = sending('not received');
  assert.deepEqual((await client.put({ file }, withFds(fds))).text, 'nothing');
  // The hook of all tests finds what is left open.
});

test('what a client does not receive is closed with its credentials, while the connection stays', async () => {
  let connection: grpcfd.FdConnection | undefined;
  const onConnection = (opened: grpcfd.FdConnection) => {
    connection = opened;
  };
  const { client } = dialConnect(await serveConnect(), { onConnection });
  const fds = grpcfd.callCredentials();
  const { file } = await client.get({ text: 'not received' }, withFds(fds));
  assert.equal(connection?.stats().heldFds, 1);
  fds.close();
  await within(10_000, 'the close', () => connection?.stats().heldFds === 0);
  // The credentials know that their call has ended.
  await assert.rejects(fds.recvFile(file), { details: 'the call credentials were closed' });
});

test('a client connects anew when its server has gone, and says so while there is none', async () => {
  const { client, sessionManager } = dialConnect(await serveConnect());
  const { fds, file } = sending('first');
  assert.equal((await client.put({ file }, withFds(fds))).text, 'first');
  sessionManager.abort();
  const again = sending('second');
  assert.equal((await client.put({ file: again.file }, withFds(again.fds))).text, 'second');
  const nowhere = dialConnect(freshAddress());
  const third = sending('third');
  await assert.rejects(nowhere.client.put({ file: third.file }, withFds(third.fds)), /connect ENOENT/);
});

test('too many descriptors for one call fail it before it starts', async () => {
  const { client } = dialConnect(await serveConnect(), { maxFdsPerCall: 1 });
  const { fds, file } = sending('one');
  withContent('two', (fd) => fds.sendFd(fd));
  await assert.rejects(client.put({ file }, withFds(fds)), {
    code: Code.ResourceExhausted,
    rawMessage: /2 descriptors for one call are more than the 1/,
  });
});

test('a server that carries no descriptors serves calls, and fdsOf says why it has none', async () => {
  const { client } = dialConnect(await serveConnect({ carries: false }));
  await assert.rejects(client.put({ file: 'fd:nobody:1' }), {
    code: Code.FailedPrecondition,
    rawMessage: /does not run over a connection that carries file descriptors/,
  });
});

test('an idle connection does not keep the process of a client alive', async () => {
  const address = await serveConnect();
  const client = fileURLToPath(new URL('fixtures/connect-client.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [client, address], { timeout: 60_000 });
  assert.match(stdout, /^\/\*\* Makes a call/);
});

test('wrong arguments are refused', () => {
  const refused = { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' };
  for (const address of ['store.sock', 'unix:', 'dns:localhost', 7]) {
    assert.throws(() => grpcfd.http2Client(address as string), refused);
  }
  assert.throws(() => grpcfd.http2Client('unix:x', { authorize: () => true } as object), refused);
  assert.throws(() => grpcfd.carryDescriptorsOn({} as http2.Http2Server), refused);
  assert.throws(() => fdsOf({ values: { get: () => undefined } as never }), refused);
});
