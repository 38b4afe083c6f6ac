import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as net from 'node:net';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { withFreshNumber } from '../support/fresh-number.js';
import { dial, SECURITIES, serve, stockServerCredentials, testService } from '../support/service.js';

trackDescriptors();

const VARIABLES = ['http_proxy', 'https_proxy', 'grpc_proxy', 'no_proxy', 'no_grpc_proxy'];

/** Names a proxy in the environment, and returns what it was asked. */
async function startProxy(): Promise<string[]> {
  const asked: string[] = [];
  const proxy = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data) => {
      asked.push(data.toString().split('\r\n')[0] ?? '');
      socket.end('HTTP/1.1 502 no\r\n\r\n');
    });
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  const before = VARIABLES.map((name) => [name, process.env[name]] as const);
  for (const name of VARIABLES) delete process.env[name];
  process.env['http_proxy'] = `http://127.0.0.1:${(proxy.address() as net.AddressInfo).port}`;
  defer(() => {
    delete process.env['http_proxy'];
    for (const [name, value] of before) if (value !== undefined) process.env[name] = value;
    proxy.close();
  });
  return asked;
}

/** A channel for which grpc-js does not ask the resolver for the authority. */
const CHANNELS: Record<string, grpc.ClientOptions> = {
  'a channel': {},
  'a channel with grpc.default_authority': { 'grpc.default_authority': 'localhost' },
};

for (const security of SECURITIES) {
  for (const [kind, clientOptions] of Object.entries(CHANNELS)) {
    test(`${security}: no proxy is asked for unix-abstract:, by ${kind}`, async () => {
      const asked = await startProxy();
      const address = `unix-abstract:grpcfd-proxy-${process.pid}`;
      await serve(bothWays, { security, address });
      await assertBothWays(await dial(address, { security, clientOptions }));
      assert.deepEqual(asked, []);
    });

    test(`${security}: no proxy is asked for fd:, by ${kind}`, async () => {
      const asked = await startProxy();
      const server = new grpcfd.Server();
      server.addService(testService, { ...bothWays });
      defer(() => server.forceShutdown());
      const [a, b] = native.socketPair();
      await server.serveConnection(a, grpcfd.serverCredentials(await stockServerCredentials(security)));
      await assertBothWays(
        await dial('fd:connect', { security, clientOptions, options: { connect: () => b } }),
      );
      const [c, d] = native.socketPair();
      await server.serveConnection(c, grpcfd.serverCredentials(await stockServerCredentials(security)));
      await assertBothWays(await dial(`fd:${withFreshNumber(d)}`, { security, clientOptions }));
      assert.deepEqual(asked, []);
    });
  }
}

test('The proxy is asked for other targets, as with stock', async () => {
  const asked = await startProxy();
  const client = await dial('service.invalid:1234');
  await assert.rejects(client.unary({}), { code: grpc.status.UNAVAILABLE });
  // grpc-js 1.13.0 speaks HTTP/2 to the proxy at once.
  assert.match(asked.join(), /^(CONNECT service\.invalid:1234 HTTP\/1\.1|PRI \* HTTP\/2\.0)$/);
});

test('Where grpc-js would ask a proxy all the same, the channel does not connect', async () => {
  const credentials = grpcfd.channelCredentials();
  for (const target of ['unix-abstract:name', 'fd:connect', 'fd:3']) {
    const options = { 'grpc.http_connect_target': target };
    const connector = credentials._createSecureConnector(
      { scheme: 'dns', path: 'proxy.invalid:80' },
      options,
    );
    await assert.rejects(connector.waitForReady(), {
      reason: 'ERR_GRPCFD_INVALID_ARGUMENT',
      message: /an HTTP proxy .* grpc.enable_http_proxy/,
    });
  }
  const stock = { 'grpc.http_connect_target': 'service.invalid:1234' };
  await credentials._createSecureConnector({ scheme: 'dns', path: 'proxy.invalid:80' }, stock).waitForReady();
});
