/** Whose server it is: `authorize`, at a client. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import type * as grpcfd from 'grpcfd';
import { listen } from 'grpcfd/socket';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { eventsOf } from '../support/events.js';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { manyTurns } from '../support/limited.js';
import { dial, freshAddress, SECURITIES, serve, withResolvers } from '../support/service.js';
import { socketPair } from '../support/socket-pair.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 10_000;

/** Counts what comes to a listener that never says anything. */
async function silentListener(): Promise<{
  address: string;
  accepted: () => number;
  bytes: () => number;
  hangUp(): void;
}> {
  const address = freshAddress();
  const sockets: { destroy(): void }[] = [];
  let bytes = 0;
  const listener = await listen({ path: address.slice('unix:'.length) });
  listener.on('connection', (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    defer(() => socket.destroy());
  });
  defer(() => listener.close());
  return {
    address,
    accepted: () => sockets.length,
    bytes: () => bytes,
    hangUp: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

for (const security of SECURITIES) {
  test(`${security}: a client that does not accept the server says nothing, and its calls tell why`, async () => {
    const { address } = await serve(bothWays, { security });
    const asked: grpcfd.Peer[] = [];
    const events = eventsOf<grpcfd.ConnectionRefusedEvent>('grpcfd:connection:refused');
    const client = await dial(address, {
      security,
      options: {
        authorize: (peer) => {
          asked.push(peer);
          throw new Error(`${peer.uid} is not my server`);
        },
      },
    });
    const error = (await failure(client.unary({}))) as grpc.ServiceError;
    assert.equal(error.code, grpc.status.UNAVAILABLE);
    assert.match(error.details, /authorize\(\) failed: \d+ is not my server/);
    assert.equal(asked[0]?.pid, process.pid);
    await within(HANG_MS, 'the event comes', () => events.length > 0);
    assert.deepEqual([events[0]?.role, events[0]?.reason], ['client', 'authorize']);
    client.grpc.close();
  });

  test(`${security}: a client waits for the answer of its authorize()`, async () => {
    const answer = withResolvers<boolean>();
    const { address } = await serve(bothWays, { security });
    let asked = 0;
    const authorize = () => {
      asked++;
      return answer.promise;
    };
    const client = await dial(address, { security, options: { authorize } });
    let replied = false;
    const reply = assertBothWays(client).finally(() => {
      replied = true;
    });
    await within(HANG_MS, 'it is asked', () => asked === 1);
    await manyTurns();
    assert.equal(replied, false);
    answer.resolve(true);
    await reply;
    client.grpc.close();
  });
}

test('nothing is sent before authorize() has answered; a close of the channel ends the wait', async () => {
  const { address, accepted, bytes } = await silentListener();
  const events = eventsOf<grpcfd.ConnectionRefusedEvent>('grpcfd:connection:refused');
  let asked = 0;
  const authorize = () => {
    asked++;
    return new Promise<boolean>(() => {});
  };
  const client = await dial(address, { options: { authorize } });
  const call = failure(client.unary({}));
  await within(HANG_MS, 'it connects', () => accepted() === 1 && asked === 1);
  await manyTurns();
  assert.equal(bytes(), 0);
  client.grpc.close();
  await call;
  await within(HANG_MS, 'the event comes', () => events.length > 0);
  assert.equal(events[0]?.reason, 'shutdown');
});

test('the wait ends with authorizeTimeoutMs, and with a hang-up of the server', async () => {
  const { address, accepted, hangUp } = await silentListener();
  const slow = await dial(address, {
    options: { authorize: () => new Promise(() => {}), authorizeTimeoutMs: 10 },
  });
  const late = (await failure(slow.unary({}))) as grpc.ServiceError;
  assert.match(late.details, /has not answered within 10 ms/);
  slow.grpc.close();
  const before = accepted();
  const left = await dial(address, { options: { authorize: () => new Promise(() => {}) } });
  const call = failure(left.unary({}));
  await within(HANG_MS, 'it connects', () => accepted() > before);
  hangUp();
  assert.match(((await call) as grpc.ServiceError).details, /the peer hung up/);
  left.grpc.close();
});

test('an end of a socketpair is refused, since nobody knows who has the other end', async () => {
  const [a] = socketPair();
  let asked = 0;
  const client = await dial('fd:connect', {
    options: { connect: () => a, authorize: () => ++asked > 0 },
  });
  const error = (await failure(client.unary({}))) as grpc.ServiceError;
  assert.match(error.details, /is not known, so authorize\(\) was not asked/);
  assert.equal(asked, 0);
  client.grpc.close();
});
