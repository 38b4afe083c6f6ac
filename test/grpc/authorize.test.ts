/** Who may connect: `authorize`, at a server. */
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { connect, type FdSocket } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { eventsOf, warnings } from '../support/events.js';
import { assertFails, failure } from '../support/failure.js';
import { defer, descriptorTable, trackDescriptors } from '../support/fd-table.js';
import { manyTurns } from '../support/limited.js';
import { listeningSocket } from '../support/listening.js';
import { OtherUser, withoutRoot } from '../support/other-user.js';
import {
  bind,
  dial,
  freshAddress,
  SECURITIES,
  type Security,
  serve,
  shutDown,
  stockServerCredentials,
  testService,
  withResolvers,
} from '../support/service.js';
import { socketPair } from '../support/socket-pair.js';
import { fileWith } from '../support/temporary.js';
import { bytesLieUnread } from '../support/unread-bytes.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 10_000;

interface Guarded {
  readonly server: grpcfd.Server;
  readonly address: string;
  readonly connections: grpcfd.FdConnection[];
  readonly refusals: grpcfd.ConnectionRefusedEvent[];
  readonly warnings: readonly Error[];
}

/** A server to which every user may connect, as far as its file says. */
async function guarded(options: grpcfd.FdServerOptions, security: Security = 'plaintext'): Promise<Guarded> {
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const address = freshAddress();
  chmodSync(dirname(address.slice('unix:'.length)), 0o711);
  const all = { mode: 0o777, onConnection, ...options };
  const { server } = await serve(bothWays, { address, security, options: all });
  const refusals = eventsOf<grpcfd.ConnectionRefusedEvent>('grpcfd:connection:refused');
  return { server, address, connections, refusals, warnings: warnings() };
}

/** A client that says nothing of its own. */
async function rawClient(address: string): Promise<FdSocket> {
  const socket = await connect({ path: address.slice('unix:'.length) });
  socket.on('error', () => {});
  socket.resume();
  defer(() => socket.destroy());
  return socket;
}

function ends(socket: FdSocket): Promise<void> {
  return within(HANG_MS, 'the server hangs up', () => socket.readableEnded || socket.destroyed);
}

for (const security of SECURITIES) {
  test(`${security}: a refused peer gets no connection, quietly, and nothing of it is read`, async () => {
    const asked: grpcfd.Peer[] = [];
    const { address, connections, refusals, warnings } = await guarded(
      { authorize: (peer) => asked.push(peer) < 0 },
      security,
    );
    const before = grpcfd.stats();
    const client = await dial(address, { security });
    using fds = grpcfd.callCredentials();
    fds.sendFd(0);
    const error = await failure(client.unary({}, fds.options()));
    assert.match(String(error), /UNAVAILABLE/);
    await within(HANG_MS, 'the event comes', () => refusals.length > 0);
    const { role, reason, peer } = refusals[0] ?? assert.fail();
    assert.deepEqual([role, reason, peer], ['server', 'authorize', asked[0]]);
    assert.equal(peer?.pid, process.pid);
    assert.equal(grpcfd.stats().refusedConnections - before.refusedConnections, asked.length);
    assert.equal(grpcfd.stats().receivedFds, before.receivedFds);
    assert.deepEqual([connections, warnings], [[], []]);
    client.grpc.close();
  });

  test(`${security}: while authorize() has not answered, nothing is read, and then the call gets its file`, async () => {
    const answer = withResolvers<boolean>();
    const { address, connections } = await guarded({ authorize: () => answer.promise }, security);
    const before = grpcfd.stats();
    const known = descriptorTable();
    const client = await dial(address, { security });
    const reply = assertBothWays(client);
    await within(HANG_MS, 'it is asked', () => grpcfd.stats().undecidedConnections === 1);
    await within(HANG_MS, 'the client has written', () => bytesLieUnread(known));
    await manyTurns();
    assert.ok(bytesLieUnread(known));
    assert.deepEqual([connections, grpcfd.stats().receivedFds], [[], before.receivedFds]);
    answer.resolve(true);
    await reply;
    assert.equal(connections.length, 1);
    assert.equal(grpcfd.stats().undecidedConnections, 0);
    client.grpc.close();
  });
}

test('only the user that authorize() admits has its calls answered', { skip: withoutRoot }, async () => {
  const { address, refusals } = await guarded({
    authorize: async (peer) => {
      await Promise.resolve();
      return peer.uid === 65534 && peer.groups?.includes(1234) === true;
    },
  });
  const admitted = new OtherUser(address, { uid: 65534, gid: 65534, groups: [1234] });
  const refused = new OtherUser(address, { uid: 65534, gid: 65534 });
  assert.equal((await refused.call())['code'], 'UNAVAILABLE');
  assert.notEqual((await admitted.call())['code'], 'UNAVAILABLE');
  assert.ok(refusals.length > 0 && refusals.every(({ peer }) => peer?.pid === refused.pid));
});

const ANSWERS: readonly [string, () => unknown, RegExp][] = [
  ['gives undefined', () => undefined, /authorize\(\) gave undefined/],
  ['gives a text', () => 'yes', /authorize\(\) gave "yes"/],
  ['throws', () => assert.fail('no way'), /authorize\(\) failed: no way/],
  ['rejects', () => Promise.reject(new Error('not here')), /authorize\(\) failed: not here/],
  ['resolves to an object', async () => ({}), /authorize\(\) gave an object/],
];

for (const [name, authorize, text] of ANSWERS) {
  test(`an authorize() that ${name} refuses`, async () => {
    const { address, refusals, warnings } = await guarded({ authorize: authorize as () => boolean });
    await ends(await rawClient(address));
    await within(HANG_MS, 'the event comes', () => refusals.length > 0);
    assert.match(refusals[0]?.error.details ?? '', text);
    assert.equal(refusals[0]?.error.reason, 'ERR_GRPCFD_PEER_REFUSED');
    assert.deepEqual(warnings, []);
  });
}

test('an authorize() that does not answer in time refuses, and its later answer changes nothing', async () => {
  const answer = withResolvers<boolean>();
  const { address, refusals, connections } = await guarded({
    authorize: () => answer.promise,
    authorizeTimeoutMs: 20,
  });
  await ends(await rawClient(address));
  answer.resolve(true);
  await within(HANG_MS, 'the event comes', () => refusals.length > 0);
  assert.equal(refusals[0]?.reason, 'authorizeTimeoutMs');
  assert.deepEqual(connections, []);
});

test('a peer that hangs up is not waited for, whatever it had written', async () => {
  const answer = withResolvers<boolean>();
  const { address, refusals, connections } = await guarded({ authorize: () => answer.promise });
  const client = await rawClient(address);
  const fd = fileWith('unread');
  client.writeWithFds(Buffer.from('PRI'), [fd]);
  native.close(fd);
  await within(HANG_MS, 'it is asked', () => grpcfd.stats().undecidedConnections === 1);
  client.destroy();
  await within(HANG_MS, 'it is over', () => grpcfd.stats().undecidedConnections === 0);
  answer.resolve(true);
  await within(HANG_MS, 'the event comes', () => refusals.length > 0);
  assert.equal(refusals[0]?.reason, 'hang-up');
  assert.deepEqual(connections, []);
});

const SHUTDOWNS: Readonly<Record<string, (server: grpcfd.Server, address: string) => unknown>> = {
  tryShutdown: (server) => shutDown(server),
  forceShutdown: (server) => server.forceShutdown(),
  unbind: (server, address) => server.unbind(address),
};

for (const [name, end] of Object.entries(SHUTDOWNS)) {
  test(`${name}() closes connections that wait for authorize()`, async () => {
    const { server, address, refusals } = await guarded({ authorize: () => new Promise(() => {}) });
    const client = await rawClient(address);
    await within(HANG_MS, 'it is asked', () => grpcfd.stats().undecidedConnections === 1);
    await end(server, address);
    await ends(client);
    await within(HANG_MS, 'the event comes', () => refusals.length > 0);
    assert.deepEqual([refusals[0]?.reason, grpcfd.stats().undecidedConnections], ['shutdown', 0]);
  });
}

test('256 connections may wait, and those of one account take no place of another', {
  skip: withoutRoot,
}, async () => {
  const answers: (() => void)[] = [];
  const { address, refusals } = await guarded({
    account: (peer) => peer.uid,
    maxConnections: 1000,
    authorize: (peer) => {
      if (peer.uid !== 65534) return new Promise(() => {});
      return new Promise((resolve) => void answers.push(() => resolve(true)));
    },
  });
  const bystander = new OtherUser(address, { uid: 65534, gid: 65534 });
  const call = bystander.call();
  await within(HANG_MS, 'it is asked', () => answers.length === 1);
  const flood = await Promise.all(Array.from({ length: 300 }, () => rawClient(address)));
  await within(HANG_MS, 'the excess is refused', () => refusals.length === 45);
  assert.equal(grpcfd.stats().undecidedConnections, 256);
  assert.ok(refusals.every(({ reason, peer }) => reason === 'undecided' && peer?.pid === process.pid));
  answers[0]?.();
  assert.notEqual((await call)['code'], 'UNAVAILABLE');
  // One that comes when all places are taken gets one of the account that has the most.
  await rawClient(address);
  await within(HANG_MS, 'all places are taken', () => grpcfd.stats().undecidedConnections === 256);
  const late = new OtherUser(address, { uid: 65534, gid: 65534 }).call();
  await within(HANG_MS, 'it is asked', () => answers.length === 2);
  answers[1]?.();
  assert.notEqual((await late)['code'], 'UNAVAILABLE');
  assert.ok(refusals.every(({ peer }) => peer?.pid === process.pid));
  for (const socket of flood) socket.destroy();
  await within(HANG_MS, 'all are gone', () => grpcfd.stats().undecidedConnections === 0);
});

for (const security of SECURITIES) {
  test(`${security}: serveConnection() asks about the peer that it was given, and refuses one that nobody knows`, async () => {
    const server = new grpcfd.Server();
    server.addService(testService, { ...bothWays });
    defer(() => server.forceShutdown());
    const asked: grpcfd.Peer[] = [];
    const credentials = grpcfd.serverCredentials(await stockServerCredentials(security), {
      authorize: async (peer) => {
        asked.push(peer);
        return peer.uid === 7;
      },
    });
    const peer = { pid: 5, uid: 7, gid: 9 };
    const [a, b] = socketPair();
    const serving = server.serveConnection(a, credentials, { peer });
    const client = await dial('fd:connect', { security, options: { connect: () => b } });
    await assertBothWays(client);
    assert.deepEqual((await serving).peer, peer);
    client.grpc.close();

    const [c] = socketPair();
    const unknown = await assertFails(
      server.serveConnection(c, credentials),
      'ERR_GRPCFD_PEER_REFUSED',
      'PERMISSION_DENIED',
    );
    assert.match(unknown.details, /is not known, so authorize\(\) was not asked/);
    const [d] = socketPair();
    const refused = server.serveConnection(d, credentials, { peer: { ...peer, uid: 8 } });
    await assertFails(refused, 'ERR_GRPCFD_PEER_REFUSED', 'PERMISSION_DENIED');
    assert.deepEqual(
      asked.map(({ uid }) => uid),
      [7, 8],
    );
  });
}

test('serveConnection() ends with a shutdown, and with a hang-up', async () => {
  const credentials = grpcfd.serverCredentials(undefined, { authorize: () => new Promise(() => {}) });
  const server = new grpcfd.Server();
  const peer = { pid: 1, uid: 2, gid: 3 };
  const [a, b] = socketPair();
  const hungUp = server.serveConnection(a, credentials, { peer });
  hungUp.catch(() => {});
  await within(HANG_MS, 'it waits', () => grpcfd.stats().undecidedConnections === 1);
  b.destroy();
  await assertFails(hungUp, 'ERR_GRPCFD_CONNECTION_CLOSED', 'UNAVAILABLE');
  const [c] = socketPair();
  const ended = server.serveConnection(c, credentials, { peer });
  ended.catch(() => {});
  await within(HANG_MS, 'it waits', () => grpcfd.stats().undecidedConnections === 1);
  await shutDown(server);
  await assertFails(ended, 'ERR_GRPCFD_CLOSED', 'CANCELLED');
});

test('options that are no such are refused', () => {
  for (const wrong of [
    { authorize: true },
    { authorizeTimeoutMs: 0 },
    { authorizeTimeoutMs: Number.POSITIVE_INFINITY },
    { account: 7 },
    { acceptFds: 0 },
    { maxConnections: 0 },
    { maxConnectionsPerAccount: 1.5 },
    { maxHeldFdsTotal: -1 },
  ]) {
    const [name = ''] = Object.keys(wrong);
    assert.throws(() => grpcfd.serverCredentials(undefined, wrong as never), {
      reason: 'ERR_GRPCFD_INVALID_ARGUMENT',
      message: new RegExp(`${name} must be`),
    });
  }
});

test('connections of an inherited listener are asked about, too', async () => {
  const path = freshAddress().slice('unix:'.length);
  const fd = listeningSocket(path);
  const server = new grpcfd.Server();
  server.addService(testService, { ...bothWays });
  defer(() => shutDown(server));
  const asked: grpcfd.Peer[] = [];
  const authorize = async (peer: grpcfd.Peer) => asked.push(peer) > 1;
  await bind(server, `fd:${fd}`, grpcfd.serverCredentials(undefined, { authorize }));
  await ends(await rawClient(`unix:${path}`));
  const client = await dial(`unix:${path}`);
  await assertBothWays(client);
  client.grpc.close();
  assert.deepEqual(
    asked.map(({ pid }) => pid),
    [process.pid, process.pid],
  );
});

test('a listener that nobody may use can be bound, and unbound', async () => {
  const server = new grpcfd.Server();
  defer(() => shutDown(server));
  const address = freshAddress();
  await bind(server, address, grpcfd.serverCredentials(undefined, { authorize: () => false }));
  await ends(await rawClient(address));
});
