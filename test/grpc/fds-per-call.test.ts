/** The limit on what a client attaches to one call, over all credentials of the call. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { assertFails, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { conversation, converse, KINDS } from '../support/kinds.js';
import { pipeTo } from '../support/pipe.js';
import { dial, type Message, serve } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const TOO_MANY = 'ERR_GRPCFD_TOO_MANY_DESCRIPTORS';

/** A server that counts what comes, and a client whose calls may have `maxFdsPerCall`. */
async function setUp(maxFdsPerCall?: number) {
  const counts: number[] = [];
  const service = conversation(async (_request, fds) => {
    let count = 0;
    for await (const file of fds.received()) {
      await file.close();
      count++;
    }
    counts.push(count);
    return { count };
  });
  const limits = { ...(maxFdsPerCall !== undefined && { maxFdsPerCall }) };
  const { address } = await serve(service, { options: limits });
  return { client: await dial(address, { options: limits }), counts };
}

function file(): number {
  const fd = fileWith('content');
  defer(() => closeSync(fd));
  return fd;
}

for (const kind of KINDS) {
  test(`${kind}: a call whose credentials have too many descriptors in all fails, and nothing of it is sent or stays open`, async () => {
    const { client, counts } = await setUp(3);
    using one = grpcfd.callCredentials();
    using other = grpcfd.callCredentials();
    const pipes = [one, one, other, other].map((fds) => pipeTo((into) => fds.sendFd(into)));
    const options = one.options(other.options());
    const error = (await failure(converse(client, kind, [{}], options))) as grpc.ServiceError;
    assert.equal(error.code, grpc.status.RESOURCE_EXHAUSTED);
    assert.match(error.details, /4 descriptors for one call are more than the 3 .*maxFdsPerCall/);
    for (const { given, end } of pipes) {
      await assertFails(given.sent, TOO_MANY, 'RESOURCE_EXHAUSTED');
      assert.equal(await end(), '');
    }
    assert.deepEqual(counts, []);
    // The credentials are good for a next call.
    const fd = file();
    for (const fds of [one, other, other]) fds.sendFd(fd);
    assert.deepEqual(await converse(client, kind, [{}], options), [{ count: 3 }]);
  });
}

test('a call with 600 descriptors of each of two credentials is above the default', async () => {
  const { client } = await setUp();
  using one = grpcfd.callCredentials();
  using other = grpcfd.callCredentials();
  const fd = file();
  for (let count = 0; count < 600; count++) for (const fds of [one, other]) fds.sendFd(fd);
  await assert.rejects(client.unary({}, one.options(other.options())), {
    code: grpc.status.RESOURCE_EXHAUSTED,
    details: /1200 descriptors for one call are more than the 1024/,
  });
});

test('and below a limit of the channel that is higher', async () => {
  const { client, counts } = await setUp(1200);
  using one = grpcfd.callCredentials();
  using other = grpcfd.callCredentials();
  const fd = file();
  for (let count = 0; count < 600; count++) for (const fds of [one, other]) fds.sendFd(fd);
  await client.unary({ requests: [{}] }, one.options(other.options()));
  assert.deepEqual(counts, [1200]);
});

test('while a call runs, one more than the limit is refused, until the first response headers have come', async () => {
  const { address } = await serve({
    bidi: (call: grpc.ServerDuplexStream<Message, Message>) => {
      call.on('data', () => call.write({}));
      call.on('end', () => call.end());
    },
  });
  const client = await dial(address, { options: { maxFdsPerCall: 3 } });
  using one = grpcfd.callCredentials();
  using other = grpcfd.callCredentials();
  const fd = file();
  one.sendFd(fd);
  const call = client.bidi(one.options(other.options()));
  // The stream starts when the channel is connected.
  await new Promise((resolve) => client.grpc.waitForReady(Date.now() + 5_000, resolve));
  await new Promise((resolve) => setImmediate(resolve));
  one.sendFd(fd);
  other.sendFd(fd);
  for (const fds of [one, other]) {
    assert.throws(() => fds.sendFd(fd), { reason: TOO_MANY, details: /4 descriptors .* the 3 / });
  }
  call.write({});
  await once(call, 'data');
  const late = Array.from({ length: 10 }, () => [one.sendFd(fd).sent, other.sendFd(fd).sent]);
  call.write({});
  await Promise.all(late.flat());
  call.end();
  await once(call.resume(), 'end');
});
