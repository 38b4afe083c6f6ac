/** Receives with credentials that were closed before, and what their errors say. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { assertFails } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, serve, testService, withResolvers } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const TOO_EARLY = /^the call credentials were closed before the reply was received\. .* 'using' /;

/** A client, and a server that sends a file with each message of a response. */
async function setUp() {
  const send = (fds: grpcfd.FdTransceiver): Message => {
    const file = fileWith('content');
    const { url, ref } = fds.sendFd(file);
    closeSync(file);
    return { url, ref };
  };
  const { address } = await serve({
    unary: grpcfd.handler((_call, fds) => send(fds)),
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      for await (const _ of call) call.write(send(fds));
    }),
  });
  return dial(address);
}

/** Starts a call with a callback, and returns its credentials and its reply. The block has ended before the callback runs. */
function callInBlock(client: Awaited<ReturnType<typeof dial>>) {
  const { path, requestSerialize, responseDeserialize } = testService.unary;
  const { promise, resolve } = withResolvers<Message>();
  using fds = grpcfd.callCredentials();
  client.grpc.makeUnaryRequest(
    path,
    requestSerialize,
    responseDeserialize,
    {},
    fds.options(),
    (_error, reply) => resolve(reply as Message),
  );
  return { fds, reply: promise };
}

for (const name of ['ref', 'url'] as const) {
  test(`A receive by ${name} in the callback of a call whose block has ended says why it fails`, async () => {
    const { fds, reply } = callInBlock(await setUp());
    const message = (await reply) as Record<'ref' | 'url', string>;
    for (const receive of [
      fds.recvFd(message[name]),
      fds.recvFile(message[name]),
      fds.recvFiles(message, [name]),
    ]) {
      const { details } = await assertFails(receive, 'ERR_GRPCFD_CLOSED', 'CANCELLED');
      assert.match(details, TOO_EARLY);
    }
  });
}

test('A receive that waits says so, too, when its credentials are closed while their call runs', async () => {
  const client = await setUp();
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options());
  call.on('error', () => {});
  defer(() => call.cancel());
  call.write({});
  const [message] = (await once(call, 'data')) as [Message];
  const waiting = fds.recvFd('inode://1/1');
  fds.close();
  for (const receive of [waiting, fds.recvFd(String(message['ref']))]) {
    const { details } = await assertFails(receive, 'ERR_GRPCFD_CLOSED', 'CANCELLED');
    assert.match(details, TOO_EARLY);
  }
  call.end();
  await once(call.resume(), 'end');
});

test('A receive after the reply and after close() says that the credentials were closed', async () => {
  const client = await setUp();
  const fds = grpcfd.callCredentials();
  const { ref } = await client.unary({}, fds.options());
  fds.close();
  const { details } = await assertFails(fds.recvFd(String(ref)), 'ERR_GRPCFD_CLOSED', 'CANCELLED');
  assert.equal(details, 'the call credentials were closed');
});
