/** The events of `node:diagnostics_channel`, the counters, and the lines of NODE_DEBUG. */
import assert from 'node:assert/strict';
import { channel } from 'node:diagnostics_channel';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { runFixture } from '../support/child.js';
import { eventsOf } from '../support/events.js';
import { failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { dial, SECURITIES, serve } from '../support/service.js';
import { fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 10_000;
const NAMES = ['open', 'close', 'refused'].map((name) => `grpcfd:connection:${name}`);
const FD_NAMES = ['sent', 'received', 'taken', 'closed', 'lost', 'refused'].map(
  (name) => `grpcfd:fd:${name}`,
);

const sum = (events: readonly grpcfd.FdEvent[], role: string): number =>
  events.reduce((total, { connection, count }) => total + (connection.role === role ? count : 0), 0);

for (const security of SECURITIES) {
  test(`${security}: the events of a call with a descriptor each way add up to the counters`, async () => {
    const opened = eventsOf<grpcfd.ConnectionOpenEvent>('grpcfd:connection:open');
    const ended = eventsOf<grpcfd.ConnectionCloseEvent>('grpcfd:connection:close');
    const [sent, received, taken] = ['sent', 'received', 'taken'].map((name) =>
      eventsOf<grpcfd.FdEvent>(`grpcfd:fd:${name}`),
    ) as [grpcfd.FdEvent[], grpcfd.FdEvent[], grpcfd.FdEvent[]];
    const before = grpcfd.stats();
    const { address } = await serve(bothWays, { security });
    const client = await dial(address, { security });
    await assertBothWays(client);
    client.grpc.close();
    await within(HANG_MS, 'both ends have closed', () => ended.length === 2);
    assert.deepEqual(opened.map(({ connection }) => connection.role).sort(), ['client', 'server']);
    for (const role of ['client', 'server']) {
      assert.deepEqual([sum(sent, role), sum(received, role), sum(taken, role)], [1, 1, 1], role);
      const { stats, connection } =
        ended.find((event) => event.connection.role === role) ?? assert.fail(role);
      assert.deepEqual([stats.sentFds, stats.receivedFds, stats.takenFds, stats.closedFds], [1, 1, 1, 0]);
      assert.ok(opened.some((event) => event.connection === connection));
    }
    const after = grpcfd.stats();
    const changes = Object.entries(after).map(([name, value]) => [
      name,
      value - before[name as keyof grpcfd.FdStats],
    ]);
    assert.deepEqual(Object.fromEntries(changes.filter(([, value]) => value !== 0)), {
      openedConnections: 2,
      sentFds: 2,
      receivedFds: 2,
      takenFds: 2,
    });
  });
}

test('descriptors that are closed tell why', async () => {
  const closed = eventsOf<grpcfd.FdClosedEvent>('grpcfd:fd:closed');
  const before = grpcfd.stats();
  const { address } = await serve({ unary: grpcfd.handler(() => ({})) });
  const forgetful = await serve({}, { options: { holdMs: 30 } });
  const client = await dial(address);
  const fd = fileWith('untaken');
  {
    using fds = grpcfd.callCredentials();
    fds.sendFd(fd);
    await client.unary({}, fds.options());
  }
  await within(HANG_MS, 'the call has ended', () => closed.length > 0);
  assert.deepEqual(
    [closed[0]?.reason, closed[0]?.count, closed[0]?.connection.role],
    ['call ended', 1, 'server'],
  );
  const raw = await FrameClient.connect(forgetful.address);
  raw.sendFds([fd, fd, fd]);
  raw.write(Buffer.from([0, 0, 0, 0xfd, 0, 0, 0, 0, 0]));
  closeSync(fd);
  const closedFdsFor = (reason: string): number =>
    closed.reduce((total, each) => total + (each.reason === reason ? each.count : 0), 0);
  await within(HANG_MS, 'the hold time of all passes', () => closedFdsFor('holdMs') === 3);
  assert.equal(closedFdsFor('call ended'), 1);
  const { closedFds, expiredFds, heldFds } = grpcfd.stats();
  assert.deepEqual(
    [closedFds - before.closedFds, expiredFds - before.expiredFds, heldFds],
    [4, 3, before.heldFds],
  );
  client.grpc.close();
});

test('receives above maxPendingReceives, and calls above maxFdsPerCall, are refused and counted', async () => {
  const refused = eventsOf<grpcfd.FdRefusedEvent>('grpcfd:fd:refused');
  const made: grpcfd.FdConnection[] = [];
  const { address } = await serve(bothWays);
  const client = await dial(address, {
    options: { maxPendingReceives: 1, maxFdsPerCall: 1, onConnection: (each) => void made.push(each) },
  });
  await assertBothWays(client);
  const [connection] = made;
  connection?.recvFd('inode://1/2').catch(() => {});
  await failure(connection?.recvFd('inode://1/3') ?? assert.fail());
  using fds = grpcfd.callCredentials();
  fds.sendFd(0);
  fds.sendFd(0);
  await failure(client.unary({}, fds.options()));
  await within(HANG_MS, 'the events come', () => refused.length === 2);
  assert.deepEqual(
    refused.map(({ reason, count }) => [reason, count]),
    [
      ['maxPendingReceives', 1],
      ['maxFdsPerCall', 2],
    ],
  );
  const stats = connection?.stats();
  assert.deepEqual([stats?.refusedReceives, stats?.refusedCalls], [1, 1]);
  client.grpc.close();
});

test('a subscriber that throws harms no other: it is an uncaught exception', async () => {
  const { code, stdout, stderr } = await runFixture('./fixtures/throwing-subscriber.js', import.meta.url);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'a subscriber: 2, events: 2, the call was answered\n');
});

test('subscribers run when the bookkeeping is done: one may close the connection whose event it is', async () => {
  const { address } = await serve(bothWays);
  const client = await dial(address);
  let closings = 0;
  const close = (event: unknown): void => {
    const { connection } = event as grpcfd.FdEvent;
    if (connection.role !== 'server') return;
    closings++;
    connection.close(new Error('seen enough'));
  };
  channel('grpcfd:fd:received').subscribe(close);
  await failure(assertBothWays(client)).catch(() => {});
  channel('grpcfd:fd:received').unsubscribe(close);
  assert.ok(closings > 0);
  await assertBothWays(client);
  client.grpc.close();
});

test('a subscriber does not run in the middle of what it is told of', async () => {
  const taken = eventsOf<grpcfd.FdEvent>('grpcfd:fd:taken');
  const { address } = await serve(bothWays);
  const client = await dial(address);
  using fds = grpcfd.callCredentials();
  const file = fileWith('request');
  const { ref } = fds.sendFd(file);
  closeSync(file);
  const reply = (await client.unary({ file: ref }, fds.options())) as { file: string };
  await within(HANG_MS, 'the server has taken its file', () => taken.length === 1);
  const receiving = fds.recvFile(reply.file);
  assert.equal(taken.length, 1);
  await (await receiving).close();
  await within(HANG_MS, 'the event comes', () => taken.length === 2);
  client.grpc.close();
});

test('without subscribers, nothing is published', async () => {
  for (const name of [...NAMES, ...FD_NAMES]) assert.equal(channel(name).hasSubscribers, false, name);
});

test('NODE_DEBUG=grpcfd tells why a descriptor did not arrive', async () => {
  const { code, stdout, stderr } = await runFixture('./fixtures/debug-lines.js', import.meta.url, [], {
    NODE_DEBUG: 'grpcfd',
  });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'done\n');
  for (const line of [
    /^GRPCFD \d+: server: a connection of \{"pid":\d+.* was refused: the peer may not connect/m,
    /^GRPCFD \d+: server, connection \S+: open, to unix:pid=\d+/m,
    /^GRPCFD \d+: server, connection \S+: 1 descriptors came/m,
    /^GRPCFD \d+: server, connection \S+: 1 descriptors that nobody had received were closed: call ended/m,
    /^GRPCFD \d+: client: the connection to \S+ is not a unix socket: its calls carry no descriptors/m,
    /^GRPCFD \d+: a call with descriptors got a connection without them/m,
    /^GRPCFD \d+: client, connection \S+: refused \(maxFdsPerCall\), 2:/m,
    /^GRPCFD \d+: a handler asked for descriptors of a call whose connection carries none/m,
  ]) {
    assert.match(stderr, line);
  }
});

test('without NODE_DEBUG, there are no lines', async () => {
  const { stderr } = await runFixture('./fixtures/debug-lines.js', import.meta.url);
  assert.equal(stderr, '');
});
