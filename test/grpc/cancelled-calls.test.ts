import assert from 'node:assert/strict';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { sharedCertificates } from '../support/certificates.js';
import { startFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { callHeaders, FRAME, message, reset } from '../support/http2-frames.js';
import { pipeTo } from '../support/pipe.js';
import { seedOfThisRun } from '../support/random.js';
import { dial, serve, testService } from '../support/service.js';
import { within } from '../support/until.js';

trackDescriptors();

/** Far below `holdMs`. */
const SOON_MS = 2_000;
const CANCELLED_CALLS = 1_500;
const UNARY = testService.unary.path;
const SECURITIES = ['plaintext', 'TLS'] as const;

/** A server whose handlers take their time, and what its one connection holds. */
async function serveSlowly(security: (typeof SECURITIES)[number]) {
  const connections: grpcfd.FdConnection[] = [];
  const { address } = await serve(
    {
      unary: grpcfd.handler(async () => {
        await delay(5);
        return {};
      }),
    },
    { security, options: { onConnection: (connection) => void connections.push(connection) } },
  );
  return { address, connections };
}

for (const security of SECURITIES) {
  test(`${security}: a call whose HEADERS, DATA and RST_STREAM come in one write lets go of its descriptors`, async () => {
    const { address, connections } = await serveSlowly(security);
    const client = await FrameClient.connect(address, security);
    await client.first(FRAME.SETTINGS);
    const fds = Array.from({ length: 50 }, () => openSync('/dev/null', 'r'));
    const inodes = fds.map((fd) => native.inode(fd)).join('.');
    const calls = 8;
    for (let call = 0; call < calls; call++) {
      const streamId = 2 * call + 1;
      const claim = `id;a.${call * fds.length}.${call * fds.length + 1}.${inodes}`;
      client.sendFds(fds);
      client.write(
        callHeaders(streamId, UNARY, { 'grpcfd-fds': claim }),
        message(streamId, {}),
        reset(streamId),
      );
    }
    native.closeAll(fds);
    const [connection] = connections;
    assert.ok(connection);
    await within(SOON_MS, 'all came', () => connection.stats().receivedFds === calls * fds.length);
    await within(SOON_MS, 'none is held', () => connection.stats().heldFds === 0);
    const { evictedFds, expiredFds } = connection.stats();
    assert.deepEqual([evictedFds, expiredFds], [0, 0]);
  });

  test(`${security}: a client that cancels many calls early leaves none of their descriptors at the server`, async (t) => {
    const seed = seedOfThisRun();
    t.diagnostic(`GRPCFD_SEED=${seed}`);
    const { address, connections } = await serveSlowly(security);
    const client = startFixture(
      './fixtures/cancelling-client.js',
      import.meta.url,
      [address, security, `${CANCELLED_CALLS}`, `${seed}`],
      await sharedCertificates(),
      60_000,
      'pipe',
    );
    const exited = once(client, 'exit');
    const [ended] = await Promise.race([once(client.stdout as Readable, 'data'), exited]);
    assert.equal(Number(ended), CANCELLED_CALLS);
    // nghttp2 ends a connection after some thousand resets in a short time, and the client makes a new one.
    const sum = (counter: 'heldFds' | 'receivedFds' | 'expiredFds' | 'evictedFds') =>
      connections.reduce((total, connection) => total + connection.stats()[counter], 0);
    await within(SOON_MS, 'none is held', () => sum('heldFds') === 0);
    assert.deepEqual([sum('expiredFds'), sum('evictedFds')], [0, 0]);
    assert.ok(sum('receivedFds') > CANCELLED_CALLS, `${sum('receivedFds')} came`);
    client.stdin?.end('end');
    await exited;
  });
}

for (const security of SECURITIES) {
  for (const how of ['cancelled in the turn in which it starts', 'started after its deadline']) {
    test(`${security}: a call that is ${how} sends nothing`, async () => {
      let handled = 0;
      const { address } = await serve(
        { bidi: () => handled++, unary: (_call, callback) => callback(null, {}) },
        { security },
      );
      const client = await dial(address, { security });
      await client.unary({});
      const fds = grpcfd.callCredentials();
      const { given, end } = pipeTo((into) => fds.sendFd(into));
      const late = how.includes('deadline');
      await new Promise((resolve) => {
        // grpc-js looks at a deadline that has passed before promises run, if no promise starts the call.
        setImmediate(() => {
          const call = client.bidi(fds.options(late ? { deadline: Date.now() - 1 } : {}));
          call.on('error', resolve);
          if (!late) call.cancel();
        });
      });
      // It comes behind all that was sent before.
      await client.unary({});
      assert.equal(handled, 0);
      await assert.rejects(given.sent, { reason: 'ERR_GRPCFD_CALL_ENDED' });
      assert.equal(await end(), '');
    });
  }
}
