// One peer sends what takes for ever to close. The descriptors of the others are closed as ever.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { socketPair as sockets } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { allClosed } from '../support/all-closed.js';
import { runFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { hanging, lingering } from '../support/hanging-close.js';
import { dial, serve, type TestClient } from '../support/service.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

const SOON_MS = 5_000;
/** As many threads as there are for all, and more. */
const HANGING = 100;

/** Attaches the descriptors to a call, and closes them. */
async function send(client: TestClient, all: readonly number[]): Promise<void> {
  const fds = grpcfd.callCredentials();
  const refs = all.map((fd) => fds.sendFd(fd).ref);
  for (const fd of all) closeSync(fd);
  await settledWithin(SOON_MS, 'the call ends', client.unary({ refs }, fds.options()));
  fds.close();
}

test('what a peer sends is closed while all that another peer has sent hangs', async () => {
  const connections: grpcfd.FdConnection[] = [];
  const { address } = await serve(
    { unary: grpcfd.handler(() => ({})) },
    { options: { onConnection: (connection) => void connections.push(connection) } },
  );
  const hostile = await dial(address);
  // Not the connection of the other client: a channel with equal options would share it.
  const good = await dial(address, { clientOptions: { 'grpc.use_local_subchannel_pool': 1 } });
  const bad = Array.from({ length: HANGING }, lingering);
  await send(
    hostile,
    bad.map(({ fd }) => fd),
  );
  await hanging(HANGING);
  // The client may be the last to close some.
  const waiting = () => connections[0]?.stats().closingFds ?? 0;
  await within(SOON_MS, 'four threads are taken, and the others wait', () => waiting() <= HANGING - 4);
  assert.ok(waiting() > HANGING / 2, `${waiting()} wait`);

  for (let round = 0; round < 3; round++) {
    const pairs = Array.from({ length: 10 }, () => sockets());
    const ends = pairs.map(([kept]) => once(kept.resume(), 'close'));
    await send(
      good,
      pairs.map(([, sent]) => sent.release()),
    );
    await settledWithin(SOON_MS, 'each of the sockets is closed', Promise.all(ends));
  }
  assert.equal(connections.length, 2);
  assert.equal(native.pendingCloses(), HANGING);
  for (const { letGo } of bad) letGo();
  await allClosed();
});

test('a peer gets no further than a sixteenth of the table with what cannot be closed', async () => {
  const result = await runFixture('./fixtures/stuck-closes.js', import.meta.url, [], {}, 60_000);
  assert.deepEqual(result, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
});
