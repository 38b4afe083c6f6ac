import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { sharedCertificates } from '../support/certificates.js';
import { runFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { type FramePeer, serveFrames } from '../support/frame-peer.js';
import { withoutRefusals } from '../support/grpc-version.js';
import {
  FRAME,
  type Frame,
  pingAck,
  reset,
  settings,
  settingsAck,
  trailersOnly,
  windowUpdate,
} from '../support/http2-frames.js';

trackDescriptors();

const CALLS = 10;
const LIMIT_MS = 40_000;
const NO_ERROR = 0;

/** Refuses each call while its request is still being written, as grpc-go does. */
function refuse(peer: FramePeer): void {
  const answer = ({ type, flags, streamId, payload }: Frame): void => {
    peer.frames.length = 0;
    if (type === FRAME.SETTINGS && flags === 0) peer.write(settingsAck());
    if (type === FRAME.PING && flags === 0) peer.write(pingAck(payload));
    // The window of the connection, so that later requests can be written. The one of the stream stays as it is.
    if (type === FRAME.DATA && payload.length > 0) peer.write(windowUpdate(0, payload.length));
    const hasBegun = type === FRAME.DATA && !refused.has(streamId);
    if (!hasBegun) return;
    refused.add(streamId);
    peer.write(trailersOnly(streamId, status.RESOURCE_EXHAUSTED), reset(streamId, NO_ERROR));
  };
  const refused = new Set<number>();
  peer.onFrame = answer;
  peer.write(settings());
}

for (const security of ['plaintext', 'TLS'] as const) {
  test(`${security}: calls that are refused while their requests are written leave no memory behind, and their connection closes`, {
    skip: withoutRefusals,
  }, async () => {
    const address = await serveFrames(security, refuse);
    const args = [address, security, String(CALLS)];
    const env = await sharedCertificates();
    const client = await runFixture('fixtures/refused-client.js', import.meta.url, args, env, LIMIT_MS);
    assert.deepEqual([client.code, client.signal, client.stderr], [0, null, '']);
    const { codes, heldBytes, connections, allClosed } = JSON.parse(client.stdout);
    assert.deepEqual(codes, new Array(CALLS).fill(status.RESOURCE_EXHAUSTED));
    assert.deepEqual([connections, allClosed], [1, true]);
    assert.ok(heldBytes < 10e6, `${heldBytes} bytes`);
  });
}
