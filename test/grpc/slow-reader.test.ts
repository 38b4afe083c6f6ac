import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { StatusObject } from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { trackDescriptors } from '../support/fd-table.js';
import { type FramePeer, serveFrames } from '../support/frame-peer.js';
import {
  FRAME,
  frame,
  goaway,
  message,
  responseHeaders,
  settings,
  settingsAck,
  trailers,
} from '../support/http2-frames.js';
import { stockChannelCredentials, TestClient } from '../support/service.js';
import { settledWithin } from '../support/until.js';

trackDescriptors();

/** Together less than what HTTP/2 lets a server send to a client that reads nothing. */
const MESSAGES = Array.from({ length: 30 }, (_, index) => ({ index, padding: 'x'.repeat(1_500) }));

/** Longer than a connection that reads nothing is left alone: a session that can do nothing more would be ended by then. */
const PAUSE_MS = 800;

/** Answers everything at once and leaves, with more bytes behind its GOAWAY, which HTTP/2 does not read any more. */
function answerAndLeave(peer: FramePeer, endsToo: boolean): void {
  peer.onFrame = ({ type, flags, streamId }) => {
    if (type === FRAME.SETTINGS && flags === 0) peer.write(settingsAck());
    if (type !== FRAME.HEADERS) return;
    const messages = MESSAGES.map((each) => message(streamId, each, false));
    peer.write(responseHeaders(streamId), ...messages, trailers(streamId), goaway(streamId));
    peer.write(frame(FRAME.PING, 0, 0, Buffer.alloc(8)));
    if (endsToo) peer.end();
  };
  peer.write(settings());
}

for (const security of ['plaintext', 'TLS'] as const) {
  for (const kind of ['stock', 'ours'] as const) {
    for (const endsToo of [true, false]) {
      // A TLS session that has ended drops what HTTP/2 has not read, over a stock socket, too.
      if (endsToo && security === 'TLS') continue;
      const how = endsToo ? 'left and hung up' : 'left';
      test(`${security}: a slow reader, ${kind}, gets all messages of a server that answered everything, ${how}`, async () => {
        const address = await serveFrames(security, (peer) => answerAndLeave(peer, endsToo));
        const stock = await stockChannelCredentials(security);
        const client = new TestClient(address, kind === 'stock' ? stock : grpcfd.channelCredentials(stock));
        const call = client.serverStream({});
        const status = once(call, 'status') as Promise<[StatusObject]>;
        const received: unknown[] = [];
        await once(call, 'readable');
        received.push(call.read());
        await delay(PAUSE_MS);
        call.on('data', (each) => received.push(each));
        const [{ code }] = await settledWithin(5_000, 'the call ends', status);
        assert.deepEqual([code, received.length], [0, MESSAGES.length]);
        assert.deepEqual(received, MESSAGES);
      });
    }
  }
}
