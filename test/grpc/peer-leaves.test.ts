/**
 * The server goes in each phase of a call. It has read all that was sent (the client's next write fails with EPIPE), or it has not (the
 * client's next read fails with ECONNRESET).
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { isDropped } from '../support/dropped.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { type FramePeer, serveFrames } from '../support/frame-peer.js';
import { FRAME, message, responseHeaders, settings, settingsAck, trailers } from '../support/http2-frames.js';
import { dial, freshAddress, type Security, type TestClient } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const HANG_MS = 20_000;

/** What the server does before it goes. It goes when the promise has resolved. */
const PHASES: Record<string, (peer: FramePeer) => unknown> = {
  'before the first byte': () => {},
  'before the call': async (peer) => {
    peer.write(settings());
    await peer.first(FRAME.SETTINGS);
  },
  'when the headers of the call are here': async (peer) => {
    peer.write(settings());
    await peer.first(FRAME.HEADERS);
  },
  'behind its own headers': async (peer) => {
    peer.write(settings());
    await peer.first(FRAME.HEADERS);
    peer.write(responseHeaders(1));
  },
  'in the middle of a message': async (peer) => {
    peer.write(settings());
    await peer.first(FRAME.DATA);
    const whole = message(1, { text: 'x'.repeat(1000) }, false);
    peer.write(responseHeaders(1), whole.subarray(0, 500));
  },
  'between its message and its trailers': async (peer) => {
    peer.write(settings());
    await peer.first(FRAME.DATA);
    peer.write(responseHeaders(1), message(1, { text: 'whole' }, false));
  },
};

function answer(peer: FramePeer): void {
  peer.write(settings());
  peer.onFrame = ({ type, streamId, flags }) => {
    if (type === FRAME.SETTINGS && flags === 0) peer.write(settingsAck());
    if (type === FRAME.HEADERS)
      peer.write(responseHeaders(streamId), message(streamId, {}, false), trailers(streamId));
  };
}

/** A call that goes on writing, and has sent a file and waits for another one: its outcome, and theirs. */
async function callAndWait(client: TestClient) {
  const fds = grpcfd.callCredentials();
  defer(() => fds.close());
  const fd = fileWith('sent');
  const { sent } = fds.sendFd(fd);
  closeSync(fd);
  const call = client.bidi(fds.options({ deadline: Date.now() + HANG_MS }));
  const waiting = fds.recvFd('inode://1/1').then(
    () => 'received',
    ({ reason }: grpcfd.GrpcFdError) => reason,
  );
  call.on('error', () => {});
  call.resume();
  const writing = setInterval(() => call.write({ text: 'y'.repeat(100) }), 2);
  const status = await new Promise<grpc.StatusObject>((resolve) => call.on('status', resolve));
  clearInterval(writing);
  const outcome = await sent.then(
    () => 'sent',
    ({ reason }: grpcfd.GrpcFdError) => reason,
  );
  // Where no connection was ever ready for the call, its credentials go on waiting for the next call.
  await Promise.race([waiting, delay(500)]);
  fds.close();
  return { status, outcome, waiting: await waiting };
}

function assertOver(
  { status, outcome, waiting }: Awaited<ReturnType<typeof callAndWait>>,
  isEarly: boolean,
): void {
  assert.ok(isDropped(status), `${grpc.status[status.code]}: ${status.details}`);
  const ended = ['ERR_GRPCFD_CONNECTION_CLOSED', 'ERR_GRPCFD_CALL_ENDED', 'ERR_GRPCFD_SEND_FAILED'];
  assert.ok(outcome === 'sent' || ended.includes(outcome), outcome);
  const isOver = waiting === 'ERR_GRPCFD_CONNECTION_CLOSED' || (isEarly && waiting === 'ERR_GRPCFD_CLOSED');
  assert.ok(isOver, waiting);
}

async function assertNextWorks(client: TestClient): Promise<void> {
  assert.deepEqual(
    await client.unary({}, { deadline: Date.now() + HANG_MS }, new grpc.Metadata({ waitForReady: true })),
    {},
  );
}

for (const security of ['plaintext', 'TLS'] as const satisfies Security[]) {
  for (const [phase, run] of Object.entries(PHASES)) {
    for (const unread of [false, true]) {
      const how = unread ? 'with unread bytes' : 'when it has read all';
      test(`${security}: a server that goes ${phase}, ${how}, ends the call and its waits, and the next call has a new connection`, async () => {
        let connections = 0;
        const address = await serveFrames(security, async (peer) => {
          connections++;
          if (connections > 1) return answer(peer);
          await run(peer);
          if (unread) {
            peer.pause();
            await delay(30);
          }
          return peer.destroy();
        });
        const client = await dial(address, { security });
        assertOver(await callAndWait(client), phase.startsWith('before'));
        await assertNextWorks(client);
      });
    }
  }
}

for (const unread of [false, true]) {
  const how = unread ? 'with unread bytes' : 'when it has read all';
  test(`TLS: a server that goes in the handshake, ${how}, ends the call and its waits`, async () => {
    const address = freshAddress();
    const server = createServer({ pauseOnConnect: true }, async (socket: Socket) => {
      socket.on('error', () => {});
      if (!unread) await once(socket.resume(), 'data');
      else await delay(30);
      socket.destroy();
    }).listen(address.slice('unix:'.length));
    await once(server, 'listening');
    defer(() => server.close());
    assertOver(await callAndWait(await dial(address, { security: 'TLS' })), true);
  });
}
