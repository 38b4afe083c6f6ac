// HTTP/2 gives up on headers of more than 64 KB, and older versions of Node tell nobody.
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { test } from 'node:test';
import { type ServiceError, status } from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { FrameClient, type FramePeer, serveFrames } from '../support/frame-peer.js';
import {
  callHeaders,
  FRAME,
  message,
  responseHeaders,
  settings,
  settingsAck,
} from '../support/http2-frames.js';
import { dial, serve, shutDown, testService } from '../support/service.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

const HUGE = 'v'.repeat(70_000);
const SOON_MS = 2_000;
const UNARY = testService.unary.path;
const CALLS = 5;
const DESCRIPTORS = 60;

for (const security of ['plaintext', 'TLS'] as const) {
  test(`${security}: a session that has given up ends though the process has nothing else to do`, async () => {
    const { server, address } = await serve({ unary: grpcfd.handler(async () => ({})) }, { security });
    const client = await FrameClient.connect(address, security);
    await client.first(FRAME.SETTINGS);
    client.write(callHeaders(1, UNARY, { 'x-big': HUGE }), message(1, {}));
    await client.first(FRAME.GOAWAY);
    client.destroy();
    // Nothing else keeps the event loop alive: the test runner fails a test whose promise is pending then.
    await shutDown(server);
  });

  for (const goesAway of [true, false]) {
    const what = goesAway ? 'goes away' : 'stays';
    test(`${security}: a client that sends headers too large for HTTP/2, and ${what}, leaves nothing behind`, async () => {
      const connections: grpcfd.FdConnection[] = [];
      const waits: Promise<unknown>[] = [];
      const { server, address } = await serve(
        {
          unary: grpcfd.handler(async (_call, fds) => {
            const wait = fds.recvFd('inode://1/1');
            waits.push(failure(wait));
            await wait;
            return {};
          }),
        },
        { security, options: { onConnection: (connection) => void connections.push(connection) } },
      );
      const client = await FrameClient.connect(address, security);
      await client.first(FRAME.SETTINGS);
      const fds = Array.from({ length: DESCRIPTORS }, () => openSync('/dev/null', 'r'));
      const inodes = fds.map((fd) => native.inode(fd)).join('.');
      for (let call = 0; call < CALLS; call++) {
        client.sendFds(fds);
        const claim = `id;a.${call * DESCRIPTORS}.${call * DESCRIPTORS + 1}.${inodes}`;
        client.write(callHeaders(2 * call + 1, UNARY, { 'grpcfd-fds': claim }), message(2 * call + 1, {}));
      }
      native.closeAll(fds);
      await within(SOON_MS, 'the calls wait', () => waits.length === CALLS);
      const [connection] = connections;
      assert.equal(connection?.stats().claimedFds, CALLS * DESCRIPTORS);

      const streamId = 2 * CALLS + 1;
      client.write(callHeaders(streamId, UNARY, { 'x-big': HUGE }), message(streamId, {}));
      if (goesAway) client.end();
      await settledWithin(SOON_MS, 'the connection closes', connection?.closed ?? Promise.reject());
      await settledWithin(SOON_MS, 'the waits settle', Promise.all(waits));
      assert.equal(connection?.stats().heldFds, 0);
      await settledWithin(SOON_MS, 'tryShutdown() ends', shutDown(server));
    });

    test(`${security}: a server that answers with headers too large for HTTP/2, and ${what}, ends the call and its receives`, async () => {
      const answer = (peer: FramePeer): void => {
        peer.onFrame = ({ type, flags, streamId }) => {
          if (type === FRAME.SETTINGS && flags === 0) peer.write(settingsAck());
          if (type !== FRAME.HEADERS) return;
          peer.write(responseHeaders(streamId, { 'x-big': HUGE }));
          if (goesAway) peer.end();
        };
        peer.write(settings());
      };
      const address = await serveFrames(security, answer);
      const connections: grpcfd.FdConnection[] = [];
      const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
      const client = await dial(address, { security, options: { onConnection } });
      const fds = grpcfd.callCredentials();
      defer(() => fds.close());
      const received = failure(fds.recvFd('inode://1/1'));
      const error = failure(client.unary({}, fds.options()));
      const { code } = (await settledWithin(SOON_MS, 'the call', error)) as ServiceError;
      assert.ok([status.UNAVAILABLE, status.INTERNAL].includes(code), status[code]);
      const { reason } = (await settledWithin(SOON_MS, 'recvFd', received)) as grpcfd.GrpcFdError;
      assert.equal(reason, 'ERR_GRPCFD_CONNECTION_CLOSED');
      await settledWithin(SOON_MS, 'the connection', Promise.all(connections.map(({ closed }) => closed)));
    });
  }
}
