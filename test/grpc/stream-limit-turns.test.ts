/** In which order calls get the streams that the server allows, and when. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { startFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { type FramePeer, serveFrames } from '../support/frame-peer.js';
import { allowStreams, FRAME, headers, message, settingsAck, trailers } from '../support/http2-frames.js';
import { collect } from '../support/kinds.js';
import { manyTurns, Occupant, serveLimited, withOccupants } from '../support/limited.js';
import {
  dial,
  type Message,
  serve,
  type TestClient,
  testService,
  withResolvers,
} from '../support/service.js';
import { within } from '../support/until.js';

trackDescriptors();

const SECURITIES = ['plaintext', 'TLS'] as const;

/** A call with a descriptor, which need not be received. */
async function withDescriptor(client: TestClient, request: Message = {}): Promise<Message> {
  using fds = grpcfd.callCredentials();
  fds.sendFd(0);
  return await client.unary(request, fds.options());
}

for (const security of SECURITIES) {
  test(`${security}: calls get streams in the order in which they came, with descriptors or without`, async () => {
    const occupant = new Occupant();
    const order: unknown[] = [];
    const { address } = await serveLimited(
      1,
      withOccupants([occupant], async (request) => {
        order.push(request['name']);
        return {};
      }),
      { security },
    );
    const client = await dial(address, { security });
    await occupant.enter(client);
    const calls: Promise<unknown>[] = [];
    const names: string[] = [];
    for (let index = 0; index < 12; index++) {
      // Calls that start in one turn of the event loop may overtake each other.
      await manyTurns();
      const name = `${index % 3 === 1 ? 'with' : 'without'} ${index}`;
      names.push(name);
      calls.push(index % 3 === 1 ? withDescriptor(client, { name }) : client.unary({ name }));
    }
    await manyTurns();
    assert.deepEqual(order, []);
    occupant.leave();
    await Promise.all(calls);
    assert.deepEqual(order, names);
  });

  for (const one of ['with', 'without']) {
    test(`${security}: a call ${one} descriptors gets its stream although others fill them all the time`, async () => {
      const CALLERS = 20;
      let arrived = 0;
      const { address } = await serveLimited(
        2,
        withOccupants([], async () => {
          arrived++;
          await new Promise((resolve) => setImmediate(resolve));
          return { arrived };
        }),
        { security },
      );
      const client = await dial(address, { security });
      let goesOn = true;
      const callers = Array.from({ length: CALLERS }, async () => {
        // More than could run by chance while the one call waits.
        for (let calls = 0; goesOn && calls < 200; calls++) {
          if (one === 'with') await client.unary({});
          else await withDescriptor(client);
        }
      });
      await within(20_000, 'the callers have begun', () => arrived > CALLERS);
      const before = arrived;
      const { arrived: at } = one === 'with' ? await withDescriptor(client) : await client.unary({});
      goesOn = false;
      await Promise.all(callers);
      // Each caller has one call that came before, and may have one that came at the same time.
      assert.ok(Number(at) - before <= 2 * CALLERS, `${Number(at) - before} calls went before it`);
    });
  }

  test(`${security}: a stream that has ended and is not read yet does not keep others waiting`, async () => {
    const { address } = await serveLimited(
      1,
      {
        serverStream: (call) => {
          for (const index of [1, 2, 3]) call.write({ index });
          call.end();
        },
        unary: grpcfd.handler(() => ({})),
      },
      { security },
    );
    const client = await dial(address, { security });
    const unread = client.serverStream({});
    await once(unread, 'metadata');
    assert.deepEqual(await withDescriptor(client), {});
    assert.deepEqual(await collect(unread), [{ index: 1 }, { index: 2 }, { index: 3 }]);
  });

  test(`${security}: calls wait for the limit that the server has set last`, async () => {
    const accepted = withResolvers<FramePeer>();
    const address = await serveFrames(security, (peer) => {
      peer.write(allowStreams(1));
      peer.onFrame = ({ type, flags }) => {
        if (type === FRAME.SETTINGS && flags === 0) peer.write(settingsAck());
      };
      accepted.resolve(peer);
    });
    const connections: grpcfd.FdConnection[] = [];
    const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
    const client = await dial(address, { security, options: { onConnection } });
    const calls = Array.from({ length: 8 }, () => withDescriptor(client));
    const peer = await accepted.promise;
    const answered: number[] = [];
    const answer = () => {
      const id = peer.of(FRAME.HEADERS)[answered.length]?.streamId ?? 0;
      answered.push(id);
      peer.write(headers(id, { ':status': '200' }), message(id, {}, false), trailers(id));
    };
    const started = async (count: number) => {
      await peer.until(() => peer.of(FRAME.HEADERS).length >= count);
      await manyTurns();
      assert.equal(peer.of(FRAME.HEADERS).length, count);
      assert.equal(connections[0]?.stats().sentFds, count);
    };
    await started(1);
    peer.write(allowStreams(3));
    await started(3);
    peer.write(allowStreams(2));
    await manyTurns();
    answer();
    await started(3);
    answer();
    await started(4);
    peer.write(allowStreams(2 ** 32 - 1));
    await started(8);
    while (answered.length < 8) answer();
    await Promise.all(calls);
  });
}

/** A process that makes a call with a descriptor and one without, to a server that allows no stream. */
async function callingProcess(...args: string[]) {
  const accepted = withResolvers<FramePeer>();
  const address = await serveFrames('plaintext', (peer) => {
    peer.write(allowStreams(0));
    peer.onFrame = ({ type, streamId: id }) => {
      if (type !== FRAME.HEADERS) return;
      peer.write(headers(id, { ':status': '200' }), message(id, {}, false), trailers(id));
    };
    accepted.resolve(peer);
  });
  const child = startFixture('./fixtures/two-calls.js', import.meta.url, [address, ...args], {}, 30_000);
  let output = '';
  child.stdout?.on('data', (text) => {
    output += text;
  });
  const closed = once(child, 'close');
  const peer = await accepted.promise;
  await Promise.race([closed, within(20_000, 'the calls wait', () => output.includes('waits'))]);
  return { peer, child, closed, output: () => output };
}

test('Calls that wait for streams keep the process alive', async () => {
  const { peer, child, closed, output } = await callingProcess();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(child.exitCode, null);
  peer.write(allowStreams(1));
  assert.deepEqual(await closed, [0, null]);
  assert.equal(output(), 'waits\nfulfilled\nfulfilled\n');
});

test('Calls that were given up while they waited do not keep the process alive', async () => {
  const { closed, output } = await callingProcess('50');
  assert.deepEqual(await closed, [0, null]);
  assert.equal(output(), 'waits\nrejected\nrejected\n');
});

test('The callback of a call that has waited runs in the asynchronous context of the call', async () => {
  const occupant = new Occupant();
  const { address } = await serveLimited(
    1,
    withOccupants([occupant], async (request) => request),
  );
  const client = await dial(address);
  await occupant.enter(client);
  const context = new AsyncLocalStorage<number>();
  const { path, requestSerialize, responseDeserialize } = testService.unary;
  const call = (index: number, options: grpc.CallOptions) =>
    new Promise<number | undefined>((resolve) => {
      const callback = () => resolve(context.getStore());
      context.run(index, () => {
        client.grpc.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, options, callback);
      });
    });
  const stores = Array.from({ length: 6 }, (_, index) =>
    call(index, index % 2 === 0 ? grpcfd.callCredentials().options() : {}),
  );
  await manyTurns();
  occupant.leave();
  assert.deepEqual(await Promise.all(stores), [0, 1, 2, 3, 4, 5]);
});

test('With a server that sets no limit, calls start in the turn in which they come', async () => {
  const { address } = await serve({ unary: grpcfd.handler(() => ({})) });
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const client = await dial(address, { options: { onConnection } });
  await client.unary({});
  const calls = Array.from({ length: 300 }, () => withDescriptor(client));
  await new Promise((resolve) => setImmediate(resolve));
  const { sentFds = 0, pendingFds = 0 } = connections[0]?.stats() ?? {};
  assert.equal(sentFds + pendingFds, 300);
  await Promise.all(calls);
});
