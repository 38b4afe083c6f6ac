/** A shutdown that a function of the user begins while it is asked about a connection, which the server does not know yet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { eventsOf } from '../support/events.js';
import { assertFails, failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { bind, dial, freshAddress, serve, shutDown, testService, withResolvers } from '../support/service.js';
import { socketPair } from '../support/socket-pair.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 10_000;

type Stop = (server: grpcfd.Server, address: string) => void;

/** `drain` goes on listening, so it is none of them. */
const STOPS: Readonly<Record<string, Stop>> = {
  forceShutdown: (server) => server.forceShutdown(),
  tryShutdown: (server) => server.tryShutdown(() => {}),
  unbind: (server, address) => server.unbind(address),
};

/** Where `stop` is called. Resolves when the peer may be admitted at last. */
const PLACES: Readonly<Record<string, (stop: () => void, later: Promise<void>) => grpcfd.FdServerOptions>> = {
  'authorize() that gives true': (stop) => ({
    authorize: () => {
      stop();
      return true;
    },
  }),
  'authorize() that resolves to true': (stop) => ({
    authorize: async () => {
      stop();
      return true;
    },
  }),
  'authorize() that answers later': (stop, later) => ({
    authorize: async () => {
      stop();
      await later;
      return true;
    },
  }),
  'account()': (stop) => ({
    account: () => {
      stop();
      return 1;
    },
  }),
};

for (const [how, stop] of Object.entries(STOPS)) {
  for (const [where, optionsOf] of Object.entries(PLACES)) {
    test(`${how}() inside an ${where}: the connection is refused, and no handler runs`, async () => {
      const later = withResolvers<void>();
      let stopped = false;
      const place = optionsOf(() => {
        if (!stopped) stop(server, address);
        stopped = true;
      }, later.promise);
      const connections: grpcfd.FdConnection[] = [];
      const options = { ...place, onConnection: (each: grpcfd.FdConnection) => void connections.push(each) };
      let calls = 0;
      const handlers = { unary: grpcfd.handler(async () => ({ calls: ++calls })) };
      const { server, address } = await serve(handlers, { options });
      const refusals = eventsOf<grpcfd.ConnectionRefusedEvent>('grpcfd:connection:refused');
      const client = await dial(address);
      assert.match(String(await failure(client.unary({}))), /UNAVAILABLE/);
      await within(HANG_MS, 'the event comes', () => refusals.length > 0);
      later.resolve();
      const { role, reason, error } = refusals[0] ?? assert.fail();
      assert.deepEqual([role, reason, error.reason], ['server', 'shutdown', 'ERR_GRPCFD_CLOSED']);
      assert.deepEqual([calls, connections.length, grpcfd.stats().undecidedConnections], [0, 0, 0]);
      client.grpc.close();
    });
  }

  test(`${how}() inside onConnection: the connection is closed, and no handler runs`, async () => {
    const connections: grpcfd.FdConnection[] = [];
    const onConnection = (connection: grpcfd.FdConnection) => {
      if (connections.push(connection) === 1) stop(server, address);
    };
    let calls = 0;
    const handlers = { unary: grpcfd.handler(async () => ({ calls: ++calls })) };
    const { server, address } = await serve(handlers, { options: { onConnection } });
    const closes = eventsOf<grpcfd.ConnectionCloseEvent>('grpcfd:connection:close');
    const client = await dial(address);
    assert.match(String(await failure(client.unary({}))), /UNAVAILABLE/);
    const ofServer = closes.find(({ connection }) => connection === connections[0]);
    const error = ofServer?.error;
    assert.ok(error instanceof grpcfd.GrpcFdError);
    assert.equal(error.reason, 'ERR_GRPCFD_CLOSED');
    assert.deepEqual([calls, connections.length], [0, 1]);
    client.grpc.close();
  });
}

test('serveConnection() rejects after a shutdown inside authorize(), account() and onConnection', async () => {
  for (const name of ['authorize', 'account', 'onConnection']) {
    const server = new grpcfd.Server();
    const stop = () => {
      server.forceShutdown();
      return true;
    };
    const credentials = grpcfd.serverCredentials(undefined, { [name]: stop });
    const [a, b] = socketPair();
    const serving = server.serveConnection(a, credentials, { peer: { pid: 1, uid: 2, gid: 3 } });
    await assertFails(serving, 'ERR_GRPCFD_CLOSED', 'CANCELLED');
    b.destroy();
  }
});

test('a server that was unbound takes connections again after the next bind, with the same credentials', async () => {
  const server = new grpcfd.Server();
  const credentials = grpcfd.serverCredentials(undefined, { authorize: () => true });
  const address = freshAddress();
  server.addService(testService, { unary: grpcfd.handler(async () => ({})) });
  await bind(server, address, credentials);
  server.unbind(address);
  await bind(server, address, credentials);
  const client = await dial(address);
  await client.unary({});
  client.grpc.close();
  await shutDown(server);
});

for (const name of ['authorize', 'account'] as const) {
  test(`a client whose channel is closed inside ${name}() makes no connection`, async () => {
    const { address } = await serve({});
    const refusals = eventsOf<grpcfd.ConnectionRefusedEvent>('grpcfd:connection:refused');
    const close = () => {
      client.grpc.close();
      return true;
    };
    const client = await dial(address, { options: { [name]: close } });
    const before = grpcfd.stats().openedConnections;
    await failure(client.unary({}));
    await within(HANG_MS, 'the event comes', () => refusals.length > 0);
    assert.deepEqual([refusals[0]?.role, refusals[0]?.reason], ['client', 'shutdown']);
    // Only the server has had one.
    assert.ok(grpcfd.stats().openedConnections - before <= 1);
  });
}
