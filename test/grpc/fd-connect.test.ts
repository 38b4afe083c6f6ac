import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as net from 'node:net';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { connect, FdSocket } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  dial,
  SECURITIES,
  type Security,
  serve,
  stockChannelCredentials,
  stockServerCredentials,
  TestClient,
  testService,
  withResolvers,
} from '../support/service.js';

trackDescriptors();

const QUICK = { 'grpc.initial_reconnect_backoff_ms': 1, 'grpc.max_reconnect_backoff_ms': 5 };

async function dialWith(
  socket: NonNullable<grpcfd.FdChannelOptions['connect']>,
  clientOptions: grpc.ClientOptions = {},
  security: Security = 'plaintext',
): Promise<TestClient> {
  return dial('fd:connect', { security, options: { connect: socket }, clientOptions });
}

async function refusal(client: TestClient, options?: grpc.CallOptions): Promise<grpc.ServiceError> {
  return client.unary({}, options).then(
    () => assert.fail('the call succeeded'),
    (error: grpc.ServiceError) => error,
  );
}

/** Gives an end of a socketpair, whose other end a server of its own serves. */
async function servedPairs(security: Security): Promise<{ open(): number; servers: grpcfd.Server[] }> {
  const credentials = grpcfd.serverCredentials(await stockServerCredentials(security));
  const servers: grpcfd.Server[] = [];
  defer(() => servers.forEach((server) => void server.forceShutdown()));
  const open = () => {
    const server = new grpcfd.Server();
    server.addService(testService, { ...bothWays });
    servers.push(server);
    const [a, b] = native.socketPair();
    void server.serveConnection(a, credentials);
    return b;
  };
  return { open, servers };
}

/** Resolves when the channel has noticed that its connection has ended. */
function left(client: TestClient): Promise<void> {
  const { promise, resolve, reject } = withResolvers<void>();
  const { READY } = grpc.connectivityState;
  client.grpc
    .getChannel()
    .watchConnectivityState(READY, Date.now() + 10_000, (error) => (error ? reject(error) : resolve()));
  return promise;
}

for (const security of SECURITIES) {
  test(`${security}: connect() is asked again when the connection has ended, and calls go on`, async () => {
    const { open, servers } = await servedPairs(security);
    const client = await dialWith(async () => open(), QUICK, security);
    for (let round = 1; round <= 3; round++) {
      await assertBothWays(client, `round ${round}`);
      assert.equal(servers.length, round);
      const gone = left(client);
      servers.at(-1)?.forceShutdown();
      await gone;
    }
  });

  test(`${security}: connections by path come from connect(): a net.Socket, an FdSocket`, async () => {
    const { address } = await serve(bothWays, { security });
    const path = address.slice('unix:'.length);
    const sources: (() => grpcfd.ConnectedSocket | Promise<grpcfd.ConnectedSocket>)[] = [
      () => net.connect(path),
      async () => connected(net.connect(path)),
    ];
    if ('release' in FdSocket.prototype) sources.push(() => connect(path));
    for (const source of sources) {
      const client = await dialWith(source, {}, security);
      const { peer } = await assertBothWays(client);
      assert.match(String(peer), new RegExp(`^unix:pid=${process.pid},`));
      client.grpc.close();
    }
  });
}

async function connected(socket: net.Socket): Promise<net.Socket> {
  await once(socket, 'connect');
  return socket;
}

test('The name in the certificate is that of grpc.ssl_target_name_override', async () => {
  const { open } = await servedPairs('TLS');
  const client = await dialWith(open, { 'grpc.ssl_target_name_override': 'localhost' }, 'TLS');
  await assertBothWays(client);
  const other = await dialWith(open, { 'grpc.ssl_target_name_override': 'elsewhere.example' }, 'TLS');
  const { code, details } = await refusal(other);
  assert.equal(code, grpc.status.UNAVAILABLE);
  assert.match(details, /elsewhere\.example/);
});

test('The text of an error of connect() is in the status of the call, and a later connect() can succeed', async () => {
  const { open } = await servedPairs('plaintext');
  const failures: unknown[] = [new Error('no socket today'), 'not even an error'];
  const client = await dialWith(() => {
    if (failures.length > 0) throw failures.shift();
    return open();
  }, QUICK);
  const { code, details } = await refusal(client);
  assert.equal(code, grpc.status.UNAVAILABLE);
  assert.match(details, /connect\(\) failed: no socket today/);
  const reply = client.unary({ file: 'x' }, {}, new grpc.Metadata({ waitForReady: true })).then(
    () => assert.fail('the call succeeded'),
    (error: grpc.ServiceError) => error,
  );
  // A call with waitForReady goes on to the connection that comes.
  assert.equal((await reply).code, grpc.status.INVALID_ARGUMENT);
  await assertBothWays(client);
});

test('A connect() that never answers ends with the deadline of the call, and what it gives after the close is closed', async () => {
  const { promise, resolve } = withResolvers<number>();
  const client = await dialWith(() => promise);
  const { code } = await refusal(client, { deadline: Date.now() + 50 });
  assert.equal(code, grpc.status.DEADLINE_EXCEEDED);
  client.grpc.close();
  const [a, b] = native.socketPair();
  resolve(b);
  const other = new net.Socket({ fd: a }).resume();
  await once(other, 'close');
});

const REFUSED: Record<string, () => { give: unknown; wanted: RegExp; keep?: () => void }> = {
  'a socket from which something was read': () => {
    const [a, b] = native.socketPair();
    native.unguard(a);
    native.unguard(b);
    const [end, other] = [new net.Socket({ fd: a }), new net.Socket({ fd: b })];
    other.write('hello');
    const give = once(end, 'data').then(() => end);
    return {
      give,
      wanted: /something was read from what connect\(\) gave already/,
      keep: () => void [end.destroy(), other.destroy()],
    };
  },
  'a listening socket': () => {
    const server = net.createServer().listen(`\0grpcfd-refused-${process.pid}`);
    const give = (server as unknown as { _handle: { fd: number } })._handle.fd;
    return { give, wanted: /is a listening socket, not a connected one/, keep: () => server.close() };
  },
  'a unix socket that is not connected': () => {
    const give = native.bindUnix(Buffer.from(`\0grpcfd-unconnected-${process.pid}`));
    return { give, wanted: /is a unix stream socket that is not connected/, keep: () => native.close(give) };
  },
  'a pipe': () => {
    const [give, write] = native.testing.pipe();
    return {
      give,
      wanted: /is not a unix stream socket: ENOTSOCK/,
      keep: () => native.closeAll([give, write]),
    };
  },
  'a TCP socket': () => {
    const server = net.createServer().listen(0, 'localhost');
    const give = once(server, 'listening').then(() =>
      connected(net.connect((server.address() as net.AddressInfo).port, 'localhost')),
    );
    const keep = () => {
      server.close();
      return give.then((socket) => socket.destroy());
    };
    return { give, wanted: /is a net\.Socket that is not an open unix socket/, keep };
  },
  nothing: () => ({
    give: undefined,
    wanted: /must be the number of a descriptor, a net\.Socket or an FdSocket/,
  }),
};

for (const [kind, make] of Object.entries(REFUSED)) {
  test(`What connect() gives is refused, and stays its owner's: ${kind}`, async () => {
    const { give, wanted, keep } = make();
    const client = await dialWith(() => give as Promise<number>);
    const { code, details } = await refusal(client);
    assert.equal(code, grpc.status.UNAVAILABLE);
    assert.match(details, wanted);
    // It fails if it was closed.
    await keep?.();
  });
}

test('A channel with stock credentials to unix-abstract: works, or fails where Node pads the name', async () => {
  const address = `unix-abstract:grpcfd-stock-${process.pid}`;
  await serve({ unary: (_call, callback) => callback(null, { done: true }) }, { address });
  const client = new TestClient(address, grpc.credentials.createInsecure());
  const outcome = await client.unary({}).then(
    ({ done }) => done,
    (error: grpc.ServiceError) => [error.code, /takes grpcfd\.channelCredentials\(\)/.test(error.details)],
  );
  const [major = 0] = process.versions.node.split('.').map(Number);
  assert.deepEqual(outcome, major < 22 ? [grpc.status.UNAVAILABLE, true] : true);
});

test('Targets and credentials that do not belong together are refused, and nothing connects', async () => {
  const refused = async (target: string, credentials: grpc.ChannelCredentials, wanted: RegExp) => {
    const { code, details } = await refusal(new TestClient(target, credentials));
    assert.deepEqual([code, wanted.test(details) || details], [grpc.status.UNAVAILABLE, true]);
  };
  const credentials = grpcfd.channelCredentials();
  await refused(
    'fd:connect',
    credentials,
    /the target fd:connect takes channelCredentials\(inner, \{ connect \}\)/,
  );
  await refused('fd:three', credentials, /fd:three is not a target/);
  await refused('fd:3', grpc.credentials.createInsecure(), /takes grpcfd.channelCredentials\(\)/);
  await refused('fd:connect', await stockChannelCredentials('TLS'), /takes grpcfd.channelCredentials\(\)/);
  let connections = 0;
  const server = net.createServer(() => connections++).listen(0, 'localhost');
  defer(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const connecting = grpcfd.channelCredentials(undefined, { connect: () => assert.fail() });
  await refused(`localhost:${port}`, connecting, /are for the target fd:connect alone/);
  await refused('unix:/nowhere', connecting, /are for the target fd:connect alone/);
  assert.equal(connections, 0);
});
