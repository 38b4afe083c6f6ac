/** Calls that are given up, or lose their connection, while they wait for a stream. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Connection } from '#src/grpc/connection.js';
import { trackDescriptors } from '../support/fd-table.js';
import { type FramePeer, serveFrames } from '../support/frame-peer.js';
import { Gate } from '../support/gate.js';
import { allowStreams, FRAME, frame, headers, message, settings, trailers } from '../support/http2-frames.js';
import { KINDS, type Kind } from '../support/kinds.js';
import { manyTurns, Occupant, serveLimited, withOccupants } from '../support/limited.js';
import { pipeTo } from '../support/pipe.js';
import { HEDGE, RETRY } from '../support/policies.js';
import { dial, type Message, shutDown, type TestClient, testService } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const SECURITIES = ['plaintext', 'TLS'] as const;
const NEVER_SENT = { reason: 'ERR_GRPCFD_CALL_ENDED' };

const read = async (request: Message, fds: grpcfd.FdServerCall): Promise<Message> => ({
  content: contentOf(await fds.recvFd(String(request['file']))),
});

const unavailable = Object.assign(new Error('not this time'), { code: grpc.status.UNAVAILABLE });

function sendNew(fds: grpcfd.FdTransceiver, content: string): grpcfd.SentFd {
  const file = fileWith(content);
  try {
    return fds.sendFd(file);
  } finally {
    closeSync(file);
  }
}

async function callWithFile(client: TestClient, content: string, metadata?: grpc.Metadata): Promise<Message> {
  using fds = grpcfd.callCredentials();
  const { ref, sent } = sendNew(fds, content);
  const reply = await client.unary({ file: ref }, fds.options(), metadata);
  await sent;
  return reply;
}

/** Starts a call, which can be cancelled. The result has the status that it ends with. */
function begin(client: TestClient, kind: Kind, request: Message, options: grpc.CallOptions) {
  const { path, requestSerialize: from, responseDeserialize: to } = testService[kind];
  const { grpc } = client;
  const ignore = () => {};
  const calls = {
    unary: () => grpc.makeUnaryRequest(path, from, to, request, options, ignore),
    clientStream: () => grpc.makeClientStreamRequest(path, from, to, options, ignore),
    serverStream: () => grpc.makeServerStreamRequest(path, from, to, request, options).resume(),
    bidi: () => grpc.makeBidiStreamRequest(path, from, to, options).resume(),
  };
  const call = calls[kind]();
  call.on('error', ignore);
  const status = new Promise<grpc.status>((resolve) => {
    call.on('status', ({ code }: grpc.StatusObject) => resolve(code));
  });
  return { cancel: () => call.cancel(), status };
}

for (const security of SECURITIES) {
  for (const kind of KINDS) {
    for (const how of ['is cancelled', 'meets its deadline']) {
      test(`${security}, ${kind}: a call that ${how} while it waits for a stream has sent nothing`, async () => {
        const occupant = new Occupant();
        const server = await serveLimited(1, withOccupants([occupant], read), { security });
        const client = await dial(server.address, { security });
        await occupant.enter(client);
        const deadlineMs = how === 'is cancelled' ? 60_000 : 50;
        const waiting = Array.from({ length: 5 }, () => {
          const fds = grpcfd.callCredentials();
          const pipe = pipeTo((into) => fds.sendFd(into));
          const options = fds.options({ deadline: Date.now() + deadlineMs });
          return { pipe, call: begin(client, kind, { file: pipe.given.ref }, options) };
        });
        const late = client.unary({ file: 'none' });
        await manyTurns();
        const expected = how === 'is cancelled' ? grpc.status.CANCELLED : grpc.status.DEADLINE_EXCEEDED;
        for (const { pipe, call } of waiting) {
          if (how === 'is cancelled') call.cancel();
          assert.equal(await call.status, expected);
          await assert.rejects(pipe.given.sent, NEVER_SENT);
          // No process has a descriptor of the end that was to be sent.
          assert.equal(await pipe.end(), '');
        }
        await manyTurns();
        assert.equal(server.receivedFds, 0);
        // The calls behind them go on, and the sequence numbers of the connection are right.
        occupant.leave();
        await assert.rejects(late, { code: grpc.status.INVALID_ARGUMENT });
        assert.deepEqual(await callWithFile(client, 'after'), { content: 'after' });
        assert.equal(server.receivedFds, 1);
      });
    }
  }

  test(`${security}: a descriptor that is sent while its call waits goes with the call, or not at all`, async () => {
    const occupant = new Occupant();
    const received: string[] = [];
    const server = await serveLimited(
      1,
      {
        ...withOccupants([occupant], read),
        bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
          for await (const request of call) received.push(String((await read(request, fds))['content']));
        }),
      },
      { security },
    );
    const client = await dial(server.address, { security });
    await occupant.enter(client);
    const [fds, others] = [grpcfd.callCredentials(), grpcfd.callCredentials()];
    const call = client.bidi(fds.options()).resume();
    const other = begin(client, 'bidi', {}, others.options());
    await manyTurns();
    call.write({ file: sendNew(fds, 'first').ref });
    const pipe = pipeTo((into) => others.sendFd(into));
    await manyTurns();
    assert.equal(server.receivedFds, 0);
    other.cancel();
    assert.equal(await pipe.end(), '');
    await assert.rejects(pipe.given.sent, NEVER_SENT);
    call.write({ file: sendNew(fds, 'second').ref });
    call.end();
    occupant.leave();
    await once(call, 'end');
    assert.deepEqual(received, ['first', 'second']);
    assert.equal(server.receivedFds, 2);
  });

  test(`${security}: calls that wait when their connection closes start on the next one`, async () => {
    const connections: Connection[] = [];
    const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection as Connection);
    const occupant = new Occupant();
    const held: unknown[] = [];
    const server = await serveLimited(
      1,
      withOccupants([occupant], async (request, fds) => {
        held.push(server.connections.map((each) => each.stats().heldFds));
        await manyTurns();
        return read(request, fds);
      }),
      { security },
    );
    const client = await dial(server.address, { security, options: { onConnection } });
    await occupant.enter(client);
    const replies = ['a', 'b', 'c'].map((content) => callWithFile(client, content));
    await manyTurns();
    connections[0]?.socket.destroy();
    assert.deepEqual(
      await Promise.all(replies),
      ['a', 'b', 'c'].map((content) => ({ content })),
    );
    await assert.rejects(occupant.reply, { code: grpc.status.UNAVAILABLE });
    assert.deepEqual(held, Array(3).fill([0, 1]), 'they wait for the streams of that connection');
    assert.deepEqual(
      server.connections.map((each) => each.stats().receivedFds),
      [0, 3],
    );
  });

  test(`${security}: calls that wait when their server shuts down gracefully start at the next server`, async () => {
    const occupant = new Occupant();
    const first = await serveLimited(1, withOccupants([occupant], read), { security });
    const client = await dial(first.address, { security });
    await occupant.enter(client);
    const wait = new grpc.Metadata({ waitForReady: true });
    const replies = ['a', 'b', 'c'].map((content) => callWithFile(client, content, wait));
    await manyTurns();
    const over = shutDown(first.server);
    const second = await serveLimited(1, withOccupants([], read), { security, address: first.address });
    assert.deepEqual(
      await Promise.all(replies),
      ['a', 'b', 'c'].map((content) => ({ content })),
    );
    assert.deepEqual([first.receivedFds, second.receivedFds], [0, 3]);
    occupant.leave();
    await Promise.all([over, occupant.reply]);
  });

  test(`${security}: calls that wait when HTTP/2 fails start on the next connection`, async () => {
    const peers: FramePeer[] = [];
    const address = await serveFrames(security, (peer) => {
      peers.push(peer);
      if (peers.length === 1) peer.write(allowStreams(1));
      else peer.write(settings());
      peer.onFrame = ({ type, streamId }) => {
        // Node 20 tells its own user nothing.
        if (type === FRAME.GOAWAY) peer.end();
        if (type !== FRAME.HEADERS || peers.length === 1) return;
        peer.write(headers(streamId, { ':status': '200' }), message(streamId, {}, false), trailers(streamId));
      };
    });
    const client = await dial(address, { security });
    const occupant = client.unary({});
    await within(10_000, 'the server is there', () => peers.length === 1);
    await peers[0]?.first(FRAME.HEADERS);
    const replies = ['a', 'b', 'c'].map((content) => callWithFile(client, content));
    await manyTurns();
    // DATA belongs to a stream. The session of the client ends with an error.
    peers[0]?.write(frame(FRAME.DATA));
    await assert.rejects(occupant);
    assert.deepEqual(await Promise.all(replies), [{}, {}, {}]);
    assert.equal(peers[0]?.of(FRAME.HEADERS).length, 1);
  });

  test(`${security}: calls that wait when their server is gone fail with UNAVAILABLE, and their descriptors are closed`, async () => {
    const peers: FramePeer[] = [];
    const address = await serveFrames(security, (peer) => {
      peers.push(peer);
      if (peers.length === 1) peer.write(allowStreams(1));
      else peer.destroy();
    });
    const client = await dial(address, { security });
    const occupant = client.unary({});
    const waiting = KINDS.map((kind) => {
      const fds = grpcfd.callCredentials();
      const pipe = pipeTo((into) => fds.sendFd(into));
      return { pipe, call: begin(client, kind, { file: pipe.given.ref }, fds.options()) };
    });
    await within(10_000, 'the server is there', () => peers.length === 1);
    await peers[0]?.first(FRAME.HEADERS);
    await manyTurns();
    const late = client.unary({});
    await manyTurns();
    peers[0]?.destroy();
    await assert.rejects(occupant, { code: grpc.status.UNAVAILABLE });
    await assert.rejects(late, { code: grpc.status.UNAVAILABLE });
    for (const { pipe, call } of waiting) {
      assert.equal(await call.status, grpc.status.UNAVAILABLE);
      await assert.rejects(pipe.given.sent, NEVER_SENT);
      assert.equal(await pipe.end(), '');
    }
  });
}

test('When the channel closes, the calls that wait fail, and those that have a stream go on', async () => {
  const occupant = new Occupant();
  const server = await serveLimited(1, withOccupants([occupant], read));
  const client = await dial(server.address);
  await occupant.enter(client);
  const fds = grpcfd.callCredentials();
  const pipe = pipeTo((into) => fds.sendFd(into));
  const calls = [client.unary({ file: pipe.given.ref }, fds.options())];
  await manyTurns();
  calls.push(client.unary({}));
  await manyTurns();
  client.grpc.close();
  // As with stock, where the calls wait in nghttp2.
  for (const call of calls) {
    await assert.rejects(call, {
      code: grpc.status.UNAVAILABLE,
      details: /Channel closed before call started/,
    });
  }
  assert.equal(await pipe.end(), '');
  occupant.leave();
  assert.deepEqual(await occupant.reply, {});
  assert.equal(server.receivedFds, 0);
});

test('Hedged attempts that wait for a stream send nothing when another attempt has won', async () => {
  let attempts = 0;
  const enough = new Gate();
  const server = await serveLimited(1, {
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      attempts++;
      await enough.wait();
      return read(call.request, fds);
    }),
  });
  const client = await dial(server.address, { clientOptions: HEDGE });
  const reply = callWithFile(client, 'hedged');
  await enough.reached;
  // Longer than the hedging delays of two further attempts.
  await delay(50);
  enough.open();
  assert.deepEqual(await reply, { content: 'hedged' });
  await manyTurns();
  assert.deepEqual([attempts, server.receivedFds], [1, 1]);
});

test('Each attempt of a retried call waits for a stream', async () => {
  const seen: unknown[] = [];
  const server = await serveLimited(
    1,
    withOccupants([], async (request, fds) => {
      const { content } = await read(request, fds);
      seen.push(content);
      if (seen.filter((each) => each === content).length < 3) throw unavailable;
      return { content };
    }),
  );
  const client = await dial(server.address, { clientOptions: RETRY });
  const contents = ['a', 'b', 'c', 'd'];
  const replies = await Promise.all(contents.map((content) => callWithFile(client, content)));
  assert.deepEqual(
    replies,
    contents.map((content) => ({ content })),
  );
  assert.equal(server.receivedFds, 12);
  assert.equal(server.connections[0]?.stats().heldFds, 0);
});
