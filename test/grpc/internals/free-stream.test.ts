/** Whether a stream that starts now leaves at once: what hasFreeStream() says against what a peer that speaks HTTP/2 by hand sees. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { connect } from 'node:net';
import { test } from 'node:test';
import * as tls from 'node:tls';
import { hasFreeStream } from '#src/grpc/internals/http2-session.js';
import { turns } from '../../support/bridged.js';
import { defer, trackDescriptors } from '../../support/fd-table.js';
import { type FramePeer, serveFrames } from '../../support/frame-peer.js';
import {
  allowStreams,
  FRAME,
  headers,
  message,
  pingAck,
  reset,
  settings,
  trailers,
} from '../../support/http2-frames.js';
import { randomFrom, seedOfThisRun } from '../../support/random.js';
import { type Security, withResolvers } from '../../support/service.js';

trackDescriptors();

/** What nghttp2 allows before the peer has said anything, and what it allows when the SETTINGS of the peer have no limit. */
const BEFORE_SETTINGS = 100;
const WITHOUT_LIMIT = 2 ** 32 - 1;

const STEPS = 1_000;

const REQUEST = { ':path': '/', ':method': 'POST' };

/** A client of Node, and its peer, which has sent nothing yet. */
async function connected(security: Security): Promise<{ client: http2.ClientHttp2Session; peer: FramePeer }> {
  const accepted = withResolvers<FramePeer>();
  const address = await serveFrames(security, (peer) => {
    peer.onFrame = ({ type, flags, payload }) => {
      if (type === FRAME.PING && flags === 0) peer.write(pingAck(payload));
    };
    accepted.resolve(peer);
  });
  const socket = connect(address.slice('unix:'.length));
  const secure = { socket, ALPNProtocols: ['h2'], rejectUnauthorized: false };
  const transport = security === 'plaintext' ? socket : tls.connect(secure);
  await once(transport, security === 'plaintext' ? 'connect' : 'secureConnect');
  const client = http2.connect('http://localhost', { createConnection: () => transport });
  client.on('error', () => {});
  defer(() => client.destroy());
  defer(() => socket.destroy());
  return { client, peer: await accepted.promise };
}

/** Resolves when the peer has seen what the client has sent, and the client has seen what the peer has. */
async function settled(client: http2.ClientHttp2Session): Promise<void> {
  await turns(3);
  await new Promise((resolve) => client.ping(resolve));
  await turns(3);
}

class Stream {
  readonly stream: http2.ClientHttp2Stream;

  constructor(client: http2.ClientHttp2Session) {
    this.stream = client.request(REQUEST);
    this.stream.on('error', () => {});
  }

  get id(): number {
    return this.stream.id ?? 0;
  }

  hasLeft(peer: FramePeer): boolean {
    return peer.of(FRAME.HEADERS, this.id).length > 0;
  }
}

for (const security of ['plaintext', 'TLS'] as const) {
  test(`${security}: until the SETTINGS come, ${BEFORE_SETTINGS} streams may be open`, async () => {
    const { client, peer } = await connected(security);
    while (client.connecting) await turns(1);
    assert.equal(client.remoteSettings.maxConcurrentStreams, BEFORE_SETTINGS);
    const streams: Stream[] = [];
    while (hasFreeStream(client)) streams.push(new Stream(client));
    assert.equal(streams.length, BEFORE_SETTINGS);
    const oneMore = new Stream(client);
    await peer.until(() => peer.of(FRAME.HEADERS).length >= BEFORE_SETTINGS);
    await turns(10);
    assert.equal(oneMore.hasLeft(peer), false);
    peer.write(settings());
    await settled(client);
    assert.equal(client.remoteSettings.maxConcurrentStreams, WITHOUT_LIMIT);
    assert.equal(oneMore.hasLeft(peer), true);
    assert.equal(hasFreeStream(client), true);
    client.destroy();
    assert.equal(hasFreeStream(client), false);
  });

  test(`${security}: a stream leaves at once if, and only if, it is said to be free`, async (t) => {
    const seed = seedOfThisRun();
    t.diagnostic(`GRPCFD_SEED=${seed}`);
    const below = randomFrom(seed);
    const pick = <T>(values: readonly T[]): T => values[below(values.length)] as T;
    const { client, peer } = await connected(security);
    peer.write(allowStreams(3));
    await settled(client);
    const streams: Stream[] = [];
    const outcomes = { free: 0, full: 0 };
    const operations: Record<string, (one: Stream) => void> = {
      ends: (one) => void one.stream.end(),
      reads: (one) => void one.stream.resume(),
      'is cancelled': (one) => one.stream.close(http2.constants.NGHTTP2_CANCEL),
      'is destroyed': (one) => void one.stream.destroy(),
      'is reset by the peer': (one) => peer.write(reset(one.id)),
      'is answered': ({ id }) => {
        peer.write(headers(id, { ':status': '200' }));
        peer.write(message(id, 'unread', false), trailers(id), reset(id, 0));
      },
    };
    /** Those that the peer must not write to any more. */
    const over = new Set<Stream>();
    for (let step = 0; step < STEPS; step++) {
      const open = streams.filter((one) => !one.stream.destroyed && one.hasLeft(peer) && !over.has(one));
      const what = pick(['start', 'start', below(5) === 0 ? 'limit' : 'start', ...Object.keys(operations)]);
      const one = open.length > 0 ? pick(open) : undefined;
      if (what === 'limit') peer.write(allowStreams(below(5)));
      else if (what !== 'start' && one !== undefined) {
        if (what === 'is answered' || what === 'is reset by the peer') over.add(one);
        operations[what]?.(one);
      }
      // A new limit that is on its way may keep back what is said to be free.
      const isSettled = what === 'limit' || below(2) === 0;
      if (isSettled) await settled(client);
      if (what !== 'start') continue;
      const isFree = hasFreeStream(client);
      const stream = new Stream(client);
      streams.push(stream);
      await settled(client);
      if (isFree) assert.equal(stream.hasLeft(peer), true, `step ${step}`);
      else if (isSettled) assert.equal(stream.hasLeft(peer), false, `step ${step}`);
      outcomes[isFree ? 'free' : 'full']++;
      // It would leave at some later time, unnoticed.
      if (!isFree) stream.stream.close(http2.constants.NGHTTP2_CANCEL);
    }
    t.diagnostic(JSON.stringify(outcomes));
    assert.ok(outcomes.free > STEPS / 100 && outcomes.full > STEPS / 100);
  });
}
