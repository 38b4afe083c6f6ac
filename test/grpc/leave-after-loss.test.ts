import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { sharedCertificates } from '../support/certificates.js';
import { startFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { callHeaders, FRAME, frame, message } from '../support/http2-frames.js';
import { dial, freshAddress, type Security, testService } from '../support/service.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

const LOST = 'ERR_GRPCFD_DESCRIPTORS_LOST';
const RECEIVED = 'received';
const COUNT = 10;
const SOON_MS = 3_000;
const PAUSE_MS = 300;

/** A server in a process of its own, whose table can be filled. */
async function serveFillable(security: Security): Promise<string> {
  const address = freshAddress();
  const server = startFixture(
    'fixtures/full-table-call.js',
    import.meta.url,
    [address, security],
    await sharedCertificates(),
  );
  defer(async () => {
    const ended = once(server, 'close');
    server.kill('SIGKILL');
    await ended;
  });
  assert.ok(server.stdout);
  await once(server.stdout, 'data');
  return address;
}

for (const security of ['plaintext', 'TLS', 'mutual TLS'] as const) {
  test(`${security}: a call whose descriptors do not fit into the server's table fails with the reason, and the next has a new connection`, async () => {
    const address = await serveFillable(security);
    const connections: grpcfd.FdConnection[] = [];
    const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
    const client = await dial(address, { security, options: { onConnection } });
    const fd = openSync('/dev/null', 'r');
    defer(() => closeSync(fd));
    const send = async (): Promise<string[]> => {
      using fds = grpcfd.callCredentials();
      const names = Array.from({ length: COUNT }, () => fds.sendFd(fd).ref);
      const options = fds.options({ deadline: Date.now() + SOON_MS });
      const metadata = new grpc.Metadata({ waitForReady: true });
      return (await client.unary({ names }, options, metadata))['outcomes'] as string[];
    };
    assert.deepEqual(await send(), new Array(COUNT).fill(RECEIVED));
    await client.unary({ fill: true });
    const outcomes = await send();
    assert.equal(outcomes.at(-1), LOST);
    await settledWithin(SOON_MS, 'the connection is left', connections[0]?.closed ?? Promise.reject());
    assert.deepEqual(await send(), new Array(COUNT).fill(RECEIVED));
    assert.equal(connections.length, 2);
  });
}

for (const security of ['plaintext', 'TLS'] as const) {
  test(`${security}: a call that follows its lost descriptors after a while still reaches its handler`, async () => {
    const address = await serveFillable(security);
    const filler = await dial(address, { security });
    const client = await FrameClient.connect(address, security);
    await client.first(FRAME.SETTINGS);
    await filler.unary({ fill: true });
    const fds = Array.from({ length: COUNT }, () => openSync('/dev/null', 'r'));
    const inodes = fds.map((fd) => native.inode(fd)).join('.');
    // HEADERS in two writes, the first of which brings the descriptors.
    const names = Array.from({ length: COUNT }, (_, index) => `fd:a:${index}`);
    const call = callHeaders(1, testService.unary.path, { 'grpcfd-fds': `id;a.0.1.${inodes}` });
    void client.socket.sendFds(fds);
    client.write(frame(FRAME.UNKNOWN), call.subarray(0, 50));
    native.closeAll(fds);
    await within(SOON_MS, 'they have left', () => client.socket.stats().pendingFds === 0);
    // A server that left at once, or as soon as nothing came for a moment, would refuse the call.
    await delay(PAUSE_MS);
    client.write(call.subarray(50), message(1, { names }));
    const { payload } = await client.first(FRAME.DATA, 1);
    const { outcomes } = JSON.parse(payload.subarray(5).toString());
    assert.equal(outcomes.at(-1), LOST);
    await settledWithin(SOON_MS, 'the connection is left', client.closed());
  });
}
