import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { createServer } from 'node:http2';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { FdSocket } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { UnixListener } from '#src/socket/unix-listener.js';
import { assertFailure, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { FrameClient } from '../support/frame-peer.js';
import { callHeaders, FRAME, message } from '../support/http2-frames.js';
import { dial, freshAddress, serve, testService } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const SO_PASSRIGHTS = 83;
const UNARY = testService.unary.path;

function refuseDescriptors(fd: number): void {
  native.testing.setSocketOption(fd, SO_PASSRIGHTS, 0);
}

/** Why a test is to be skipped: the kernel has no such option before Linux 6.16. */
function whyNoOption(): string | false {
  const pair = native.socketPair();
  try {
    refuseDescriptors(pair[0]);
    return false;
  } catch {
    return 'this kernel has no SO_PASSRIGHTS';
  } finally {
    native.closeAll(pair);
  }
}

const skip = whyNoOption();

function isRefusal(error: unknown): void {
  const { cause } = assertFailure(error, 'ERR_GRPCFD_SEND_FAILED', 'PERMISSION_DENIED');
  assert.equal((cause as NodeJS.ErrnoException).code, 'EPERM');
}

test('descriptors for a client that takes none fail, and the replies that they were for arrive', {
  skip,
}, async () => {
  const sent: grpcfd.SentFd[] = [];
  const { address } = await serve({
    unary: grpcfd.handler((_call, fds) => {
      const fd = fileWith('reply');
      sent.push(fds.sendFd(fd));
      closeSync(fd);
      return {};
    }),
  });
  const client = await FrameClient.connect(address);
  refuseDescriptors(client.fd);
  for (const streamId of [1, 3, 5]) {
    client.write(callHeaders(streamId, UNARY), message(streamId, {}));
    await client.until(() => client.of(FRAME.HEADERS, streamId).length === 2);
    assert.equal(client.of(FRAME.DATA, streamId).length, 1);
  }
  for (const { sent: promise } of sent) isRefusal(await failure(promise));
  assert.equal(sent.length, 3);
  assert.equal(client.socket.stats().receivedFds, 0);
});

/** A gRPC server that answers each call, and takes no descriptors. */
async function serveWithoutDescriptors(): Promise<string> {
  const address = freshAddress();
  const http2 = createServer();
  http2.on('stream', (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.resume();
    // A message of gRPC: {}.
    stream.end(Buffer.of(0, 0, 0, 0, 2, 0x7b, 0x7d));
  });
  const onConnection = (fd: number): void => {
    refuseDescriptors(fd);
    const socket = new FdSocket({ fd });
    defer(() => socket.destroy());
    http2.emit('connection', socket);
  };
  const listener = await UnixListener.listen(
    { path: address.slice('unix:'.length) },
    { onConnection, onError: (error) => process.emitWarning(error) },
  );
  defer(() => listener.close());
  return address;
}

test('descriptors for a server that takes none fail, and the calls that they were for go on', {
  skip,
}, async () => {
  const client = await dial(await serveWithoutDescriptors());
  for (let call = 0; call < 3; call++) {
    const fd = fileWith('request');
    using fds = grpcfd.callCredentials();
    const { sent } = fds.sendFd(fd);
    closeSync(fd);
    assert.deepEqual(await client.unary({}, fds.options({ deadline: Date.now() + 2_000 })), {});
    isRefusal(await failure(sent));
  }
  assert.deepEqual(await client.unary({}), {});
});
