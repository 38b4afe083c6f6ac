import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSecureContext } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { certificates } from '../support/certificates.js';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  bind,
  freshAddress,
  SECURITIES,
  type Security,
  shutDown,
  stockChannelCredentials,
  stockServerCredentials,
  TestClient,
  testService,
} from '../support/service.js';
import { contentOf, fileWith, temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

/** A server that replies with the content of the file and with the tokens of each call. */
async function serveWith(credentials: grpc.ServerCredentials, at = freshAddress()) {
  const server = new grpcfd.Server();
  server.addService(testService, {
    unary: grpcfd.handler(async (call, fds) => ({
      content: call.request.file && contentOf(await fds.recvFd(call.request.file)),
      // HTTP/2 joins the values of one key.
      tokens: call.metadata.get('token').flatMap((values) => String(values).split(', ')),
    })),
  });
  const port = await bind(server, at, credentials);
  defer(() => shutDown(server));
  return { address: at.replace(/:0$/, `:${port}`) };
}

async function sendFile(client: TestClient, options?: grpc.CallOptions) {
  const fds = grpcfd.callCredentials();
  const file = fileWith('carried');
  const { ref } = fds.sendFd(file);
  native.close(file);
  return client.unary({ file: ref }, fds.options(options));
}

function token(value: string): grpc.CallCredentials {
  return grpc.credentials.createFromMetadataGenerator((_options, callback) => {
    const metadata = new grpc.Metadata();
    metadata.set('token', value);
    setImmediate(callback, null, metadata);
  });
}

/** Certificates of a server and a client in files, which certificate providers watch. */
async function providers() {
  const { server, client } = await certificates();
  const directory = temporaryDirectory();
  const write = (name: string, content: Buffer) => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  };
  const provider = (own: typeof server, other: typeof server, name: string) =>
    new grpc.experimental.FileWatcherCertificateProvider({
      certificateFile: write(`${name}.pem`, own.cert),
      privateKeyFile: write(`${name}.key`, own.key),
      caCertificateFile: write(`${name}-ca.pem`, other.cert),
      refreshIntervalMs: 60_000,
    });
  return { server: provider(server, client, 'server'), client: provider(client, server, 'client') };
}

test('Credentials work without stock credentials inside, and with each kind of stock credentials inside', async () => {
  const { server, client } = await certificates();
  const context = createSecureContext({ ca: server.cert, key: client.key, cert: client.cert });
  const ssl = await stockServerCredentials('TLS');
  const mutual = await stockServerCredentials('mutual TLS');
  const pairs: [grpc.ServerCredentials | undefined, grpc.ChannelCredentials | undefined][] = [
    [undefined, undefined],
    [grpc.ServerCredentials.createInsecure(), grpc.credentials.createInsecure()],
    [ssl, grpc.credentials.createSsl(server.cert)],
    [mutual, grpc.credentials.createSsl(server.cert, client.key, client.cert)],
    [mutual, grpc.credentials.createFromSecureContext(context)],
    [ssl, grpc.credentials.createSsl(server.cert, null, null, { checkServerIdentity: () => undefined })],
  ];
  for (const [serverSide, channelSide] of pairs) {
    const { address } = await serveWith(grpcfd.serverCredentials(serverSide));
    const subject = new TestClient(address, grpcfd.channelCredentials(channelSide));
    assert.deepEqual(await sendFile(subject), { content: 'carried', tokens: [] });
  }
});

test('Credentials work with certificate providers inside, also before the certificates have been read', async () => {
  const { server, client } = await providers();
  const { experimental } = grpc;
  const { address } = await serveWith(
    grpcfd.serverCredentials(experimental.createCertificateProviderServerCredentials(server, server, true)),
  );
  // The server drops connections until it has read its certificate files, so the channel connects again.
  const channel = experimental.createCertificateProviderChannelCredentials(client, client);
  const subject = new TestClient(address, grpcfd.channelCredentials(channel), {
    'grpc.initial_reconnect_backoff_ms': 20,
  });
  const options = { deadline: Date.now() + 10_000 };
  const ready = new Promise((resolve) => subject.grpc.waitForReady(options.deadline, resolve));
  assert.equal(await ready, undefined);
  assert.deepEqual(await sendFile(subject, options), { content: 'carried', tokens: [] });
});

for (const [what, channel] of [
  ['without a client certificate', 'TLS'],
  ['in plaintext', 'plaintext'],
] as [string, Security][]) {
  test(`A mutual TLS server refuses a client ${what}`, async () => {
    const { address } = await serveWith(grpcfd.serverCredentials(await stockServerCredentials('mutual TLS')));
    const client = new TestClient(address, grpcfd.channelCredentials(await stockChannelCredentials(channel)));
    const fds = grpcfd.callCredentials();
    const { sent } = fds.sendFd(0);
    await assert.rejects(client.unary({}, fds.options()), { code: grpc.status.UNAVAILABLE });
    await assert.rejects(sent);
    client.grpc.close();
  });
}

test('Channels with equal credentials share connections, channels with different credentials do not', async () => {
  const inner = await stockChannelCredentials('TLS');
  const withToken = token('a');
  const onConnection = () => {};
  const make: Record<string, () => grpc.ChannelCredentials> = {
    ssl: () => grpcfd.channelCredentials(inner),
    'other ssl': () => grpcfd.channelCredentials(grpc.credentials.createSsl(readFileSync(caPath))),
    'a limit': () => grpcfd.channelCredentials(inner, { holdMs: 1_000 }),
    'a listener': () => grpcfd.channelCredentials(inner, { onConnection }),
    'a token': () => grpcfd.channelCredentials(inner).compose(withToken),
    'a token inside': () => grpcfd.channelCredentials(inner.compose(withToken)),
    stock: () => inner,
  };
  const caPath = join(temporaryDirectory(), 'ca');
  writeFileSync(caPath, (await certificates()).server.cert);
  const names = Object.keys(make);
  const credentials = Object.fromEntries(names.map((name) => [name, make[name]?.()]));
  const seen = new Set<string>();
  const { address } = await serveWith(
    grpcfd.serverCredentials(await stockServerCredentials('TLS'), {
      onConnection: (connection) => void seen.add(connection.id),
    }),
  );
  for (const [index, name] of names.entries()) {
    for (let channel = 0; channel < 3; channel++) {
      // The second and the third credentials are new objects made of the same parts.
      const each = channel === 0 || name === 'other ssl' ? credentials[name] : make[name]?.();
      assert.ok(each);
      await new TestClient(address, each).unary({});
    }
    assert.equal(seen.size, index + 1, name);
  }
});

test('Two credentials are equal only if they are made of the same parts', () => {
  const insecure = () => grpcfd.channelCredentials();
  assert.ok(insecure()._equals(insecure()));
  assert.ok(insecure()._equals(grpcfd.channelCredentials(undefined, { onConnection: undefined })));
  assert.ok(!insecure()._equals(grpc.credentials.createInsecure()));
  assert.ok(!grpc.credentials.createInsecure()._equals(insecure()));
  assert.ok(!insecure()._equals(grpcfd.channelCredentials(undefined, { maxHeldFds: 5 })));
  const server = () => grpcfd.serverCredentials();
  assert.ok(server()._equals(server()));
  assert.ok(!server()._equals(grpc.ServerCredentials.createInsecure()));
  assert.ok(!server()._equals(grpcfd.serverCredentials(undefined, { mode: 0o600 })));
});

for (const security of SECURITIES) {
  test(`${security}: tokens of the channel, of the call and inside the credentials of the call all arrive`, async () => {
    const { address } = await serveWith(grpcfd.serverCredentials(await stockServerCredentials(security)));
    const inner = await stockChannelCredentials(security);
    const channels = [grpcfd.channelCredentials(inner).compose(token('channel'))];
    if (security !== 'plaintext') channels.push(grpcfd.channelCredentials(inner.compose(token('channel'))));
    for (const channel of channels) {
      const client = new TestClient(address, channel);
      const combined = grpc.credentials.combineCallCredentials;
      for (const [credentials, tokens] of [
        [(fds: grpcfd.FdCallCredentials) => fds, ['channel']],
        [(fds) => combined(fds, token('call')), ['call', 'channel']],
        [(fds) => combined(token('call'), fds), ['call', 'channel']],
        [(fds) => combined(token('1'), fds, token('2')), ['1', '2', 'channel']],
        [(fds) => combined(fds, fds), ['channel']],
        [(fds) => fds.options({ credentials: token('call') }).credentials, ['call', 'channel']],
        [(fds) => fds.options({ credentials: fds }).credentials, ['channel']],
      ] as [(fds: grpcfd.FdCallCredentials) => grpc.CallCredentials, string[]][]) {
        const fds = grpcfd.callCredentials();
        const given = credentials(fds);
        assert.equal(grpcfd.fromCallCredentials(given), fds);
        const file = fileWith('carried');
        const { ref } = fds.sendFd(file);
        native.close(file);
        const reply = await client.unary({ file: ref }, { credentials: given });
        assert.equal(reply['content'], 'carried');
        assert.deepEqual([...(reply['tokens'] as string[])].sort(), tokens);
      }
      const around = grpcfd.callCredentials(token('inside'));
      assert.deepEqual((await client.unary({}, around.options()))['tokens'], ['inside', 'channel']);
    }
  });
}

test('A token over plaintext TCP is refused with an error that gives the reason', async () => {
  const { address } = await serveWith(grpcfd.serverCredentials(), 'localhost:0');
  const client = new TestClient(address, grpcfd.channelCredentials().compose(token('secret')));
  const error = (await failure(client.unary({}))) as grpc.ServiceError;
  assert.equal(error.code, grpc.status.UNAVAILABLE);
  assert.match(error.details, /call credentials are not sent over an insecure connection/);
});

test('A call credential that fails determines the status of the call, and nothing leaks', async () => {
  const { address } = await serveWith(grpcfd.serverCredentials());
  const client = new TestClient(address, grpcfd.channelCredentials());
  const failing = grpc.credentials.createFromMetadataGenerator((_options, callback) =>
    callback(Object.assign(new Error('no token'), { code: grpc.status.UNAUTHENTICATED })),
  );
  const fds = grpcfd.callCredentials(failing);
  const { sent } = fds.sendFd(0);
  const error = (await failure(client.unary({}, fds.options()))) as grpc.ServiceError;
  assert.match(error.details, /no token/);
  await assert.rejects(sent, { reason: 'ERR_GRPCFD_CALL_ENDED' });
});

test('Call credentials are refused as channel credentials', async () => {
  const fds = grpcfd.callCredentials();
  const refused = { reason: 'ERR_GRPCFD_INVALID_ARGUMENT', message: /are for calls/ };
  const ssl = await stockChannelCredentials('TLS');
  assert.throws(() => grpcfd.channelCredentials().compose(fds), refused);
  assert.throws(() => grpcfd.channelCredentials().compose(token('a').compose(fds)), refused);
  assert.throws(
    () => grpc.credentials.combineChannelCredentials(grpcfd.channelCredentials(ssl), fds),
    refused,
  );
  const { address } = await serveWith(grpcfd.serverCredentials(await stockServerCredentials('TLS')));
  const client = new TestClient(address, grpcfd.channelCredentials(ssl.compose(fds)));
  const error = (await failure(client.unary({}))) as grpc.ServiceError;
  assert.match(error.details, /are for calls/);
});

test('options() adds its credentials to the given call options', () => {
  const fds = grpcfd.callCredentials();
  const plain = token('a');
  assert.equal(grpcfd.callCredentialsFromOptions({}), undefined);
  assert.equal(grpcfd.callCredentialsFromOptions({ credentials: plain }), plain);
  assert.equal(grpcfd.callCredentialsFromOptions(fds.options()), fds);
  assert.equal(grpcfd.fromCallCredentials(plain), undefined);
  assert.equal(grpcfd.fromCallCredentials(fds), fds);
  const last = grpcfd.callCredentials();
  assert.equal(grpcfd.fromCallCredentials(fds.compose(plain).compose(last)), last);
  const base = { deadline: 5, interceptors: [] };
  assert.deepEqual(fds.options(base), { ...base, credentials: fds });
  assert.equal(grpcfd.callCredentials(fds), fds);
});
