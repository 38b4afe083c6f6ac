/** `acceptFds: false`. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { eventsOf } from '../support/events.js';
import { assertFails, assertFailure, failure } from '../support/failure.js';
import { defer, descriptorTable, trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { callHeaders, message } from '../support/http2-frames.js';
import { dial, SECURITIES, serve, testService } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 10_000;
const SO_PASSRIGHTS = 83;
const closed = { acceptFds: false } as const;

/** Whether the kernel can refuse descriptors: since Linux 6.16. */
function kernelRefuses(): boolean {
  const pair = native.socketPair();
  const can = native.refuseRights(pair[0]);
  native.closeAll(pair);
  return can;
}

for (const security of SECURITIES) {
  test(`${security}: a server with acceptFds: false gets no descriptor, and its calls go on and can send`, async () => {
    const connections: grpcfd.FdConnection[] = [];
    const options = { ...closed, onConnection: (each: grpcfd.FdConnection) => void connections.push(each) };
    const reasons: unknown[] = [];
    const { address } = await serve(
      {
        unary: grpcfd.handler(async (call, fds) => {
          const { file, url } = call.request as unknown as { file: string; url: string };
          for (const name of [file, url]) {
            reasons.push(await assertFails(fds.recvFd(name), 'ERR_GRPCFD_NOT_ACCEPTED', 'PERMISSION_DENIED'));
          }
          const fd = fileWith('reply');
          const { ref } = fds.sendFd(fd);
          closeSync(fd);
          return { ref };
        }),
      },
      { security, options },
    );
    const client = await dial(address, { security });
    using fds = grpcfd.callCredentials();
    const fd = fileWith('request');
    const { ref, url, sent } = fds.sendFd(fd);
    closeSync(fd);
    const { ref: reply } = (await client.unary({ file: ref, url }, fds.options())) as { ref: string };
    assert.equal(contentOf(await fds.recvFd(reply)), 'reply');
    assert.equal(reasons.length, 2);
    if (kernelRefuses()) assertFailure(await failure(sent), 'ERR_GRPCFD_SEND_FAILED', 'PERMISSION_DENIED');
    assert.equal(connections.length, 1);
    assert.equal(connections[0]?.stats().heldFds, 0);
    client.grpc.close();
  });

  test(`${security}: a client with acceptFds: false gets none either`, async () => {
    const outcomes: Promise<unknown>[] = [];
    const { address } = await serve(
      {
        unary: grpcfd.handler((_call, fds) => {
          const fd = fileWith('reply');
          const { ref, sent } = fds.sendFd(fd);
          outcomes.push(
            sent.then(
              () => undefined,
              (error: unknown) => error,
            ),
          );
          closeSync(fd);
          return { ref };
        }),
      },
      { security },
    );
    const client = await dial(address, { security, options: closed });
    using fds = grpcfd.callCredentials();
    const { ref } = (await client.unary({}, fds.options())) as { ref: string };
    await assertFails(fds.recvFd(ref), 'ERR_GRPCFD_NOT_ACCEPTED', 'PERMISSION_DENIED');
    const [outcome] = await Promise.all(outcomes);
    if (kernelRefuses()) assertFailure(outcome, 'ERR_GRPCFD_SEND_FAILED', 'PERMISSION_DENIED');
    client.grpc.close();
  });
}

test('what comes although the kernel should refuse it is closed at once, and counted', async () => {
  const connections: grpcfd.FdConnection[] = [];
  const refused = eventsOf<grpcfd.FdRefusedEvent>('grpcfd:fd:refused');
  const { address } = await serve(
    { unary: grpcfd.handler(() => ({})) },
    {
      options: {
        ...closed,
        onConnection: (connection) => {
          connections.push(connection);
          // As before Linux 6.16.
          for (const fd of descriptorTable().keys()) {
            try {
              native.testing.setSocketOption(fd, SO_PASSRIGHTS, 1);
            } catch {
              // It is no socket, or the kernel is that old.
            }
          }
        },
      },
    },
  );
  const client = await FrameClient.connect(address);
  await within(HANG_MS, 'it is accepted', () => connections.length === 1);
  const fd = fileWith('unwanted');
  client.sendFds([fd, fd, fd]);
  closeSync(fd);
  client.write(callHeaders(1, testService.unary.path), message(1, {}));
  await client.until(() => client.of(1, 1).length === 2);
  const stats = connections[0]?.stats();
  assert.deepEqual([stats?.receivedFds, stats?.refusedFds, stats?.heldFds, stats?.losses], [0, 3, 0, 0]);
  await within(HANG_MS, 'the event comes', () => refused.length > 0);
  assert.deepEqual(
    [refused[0]?.reason, refused.reduce((sum, { count }) => sum + count, 0)],
    ['acceptFds', 3],
  );
});

test('what a client sends before it is accepted is refused by the kernel', {
  skip: kernelRefuses() ? false : 'this kernel has no SO_PASSRIGHTS',
}, async () => {
  const { address } = await serve({ unary: grpcfd.handler(() => ({})) }, { options: closed });
  const handle = new native.SocketHandle(
    native.connectUnix(Buffer.from(address.slice('unix:'.length))),
    () => {},
  );
  defer(() => handle.close());
  // No code of the server has run since.
  assert.equal(handle.send([Buffer.from('P')], 1, Int32Array.of(0), 1), -constants.errno.EPERM);
});
