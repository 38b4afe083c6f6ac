import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { startFixture } from '../support/child.js';
import { assertFails, assertFailure, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  dial,
  freshAddress,
  type Message,
  serve,
  TestClient,
  testService,
  withResolvers,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

const NEVER_COMES = 'inode://1/1';

/** A server whose bidi handler receives a descriptor that never arrives, and the error that ends that receive. */
async function waitingServer(
  meanwhile: (call: grpc.ServerDuplexStream<Message, Message>) => Promise<void> | void,
  receiveOptions?: grpcfd.ReceiveOptions,
) {
  const { promise: waited, resolve } = withResolvers<unknown>();
  const { server, address } = await serve({
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      void failure(fds.recvFd(NEVER_COMES, receiveOptions)).then(resolve);
      call.write({});
      await meanwhile(call);
    }),
  });
  return { server, address, waited };
}

const untilCancelled = (call: grpc.ServerDuplexStream<Message, Message>) =>
  new Promise<void>((resolve) => call.once('cancelled', () => resolve()));

/** A call to that server that has reached its handler. */
async function waitingCall(address: string, options?: grpc.CallOptions) {
  const client = await dial(address);
  const call = client.bidi(options);
  const status = new Promise<grpc.StatusObject>((resolve) => call.once('status', resolve));
  call.on('error', () => {});
  await once(call, 'data');
  return { call, status };
}

test('A receive in a handler ends when its signal aborts, and its error has the reason of the signal', async () => {
  const controller = new AbortController();
  const { address, waited } = await waitingServer(untilCancelled, { signal: controller.signal });
  const { call } = await waitingCall(address);
  const reason = new Error('changed my mind');
  controller.abort(reason);
  assert.equal(assertFailure(await waited, 'ERR_GRPCFD_ABORTED', 'CANCELLED').cause, reason);
  call.cancel();
});

test('A receive in a handler ends at once when its signal is already aborted', async () => {
  const { address, waited } = await waitingServer(untilCancelled, { signal: AbortSignal.abort('no') });
  const { call } = await waitingCall(address);
  assert.equal(assertFailure(await waited, 'ERR_GRPCFD_ABORTED', 'CANCELLED').cause, 'no');
  call.cancel();
});

test('A receive in a handler ends after timeoutMs', async () => {
  const { address, waited } = await waitingServer(untilCancelled, { timeoutMs: 20 });
  const { call } = await waitingCall(address);
  assertFailure(await waited, 'ERR_GRPCFD_TIMEOUT', 'DEADLINE_EXCEEDED');
  call.cancel();
});

test('A receive in a handler ends when the client cancels', async () => {
  const { address, waited } = await waitingServer(untilCancelled);
  const { call } = await waitingCall(address);
  call.cancel();
  assertFailure(await waited, 'ERR_GRPCFD_CALL_ENDED', 'CANCELLED');
});

test('A receive in a handler ends at the deadline of the call', async () => {
  const { address, waited } = await waitingServer(untilCancelled);
  const { status } = await waitingCall(address, { deadline: Date.now() + 200 });
  assert.equal((await status).code, grpc.status.DEADLINE_EXCEEDED);
  assertFailure(await waited, 'ERR_GRPCFD_CALL_ENDED', 'CANCELLED');
});

test('A receive that a handler did not await ends when the handler has returned', async () => {
  const { address, waited } = await waitingServer(() => {});
  const { call, status } = await waitingCall(address);
  call.end();
  assert.equal((await status).code, grpc.status.OK);
  assertFailure(await waited, 'ERR_GRPCFD_CALL_ENDED', 'CANCELLED');
});

test('A receive in a handler ends when the client process is killed', async () => {
  const { address, waited } = await waitingServer(async (call) => {
    child.kill('SIGKILL');
    await untilCancelled(call);
  });
  const child = startFixture('./fixtures/peer.js', import.meta.url, ['client', address]);
  await once(child, 'close');
  const error = (await waited) as grpcfd.GrpcFdError;
  assert.ok(['ERR_GRPCFD_CALL_ENDED', 'ERR_GRPCFD_CONNECTION_CLOSED'].includes(error.reason), error.reason);
});

test('A receive in a handler ends when the server calls forceShutdown', async () => {
  const { server, address, waited } = await waitingServer(untilCancelled);
  const { status } = await waitingCall(address);
  server.forceShutdown();
  const error = (await waited) as grpcfd.GrpcFdError;
  assert.ok(['ERR_GRPCFD_CALL_ENDED', 'ERR_GRPCFD_CONNECTION_CLOSED'].includes(error.reason), error.reason);
  assert.notEqual((await status).code, grpc.status.OK);
});

test('A handler can neither receive nor send after its call has ended', async () => {
  const { promise: transceiver, resolve } = withResolvers<grpcfd.FdTransceiver>();
  const { address } = await serve({
    unary: grpcfd.handler(async (_call, fds) => {
      resolve(fds);
      return {};
    }),
  });
  const client = await dial(address);
  await client.unary({});
  const fds = await transceiver;
  await assertFails(fds.recvFd(NEVER_COMES), 'ERR_GRPCFD_CALL_ENDED', 'CANCELLED');
  await assertFails(fds.sendFd(0).sent, 'ERR_GRPCFD_CALL_ENDED', 'CANCELLED');
});

test('A connection may have maxPendingReceives receives waiting, and one more in a handler is refused', async () => {
  const { promise: refused, resolve } = withResolvers<unknown>();
  const { address } = await serve(
    {
      unary: grpcfd.handler(async (_call, fds) => {
        for (const waiting of ['inode://1/1', 'inode://1/2']) void failure(fds.recvFd(waiting));
        resolve(await failure(fds.recvFd('inode://1/3')));
        return {};
      }),
    },
    { options: { maxPendingReceives: 2 } },
  );
  const client = await dial(address);
  await client.unary({});
  assertFailure(await refused, 'ERR_GRPCFD_TOO_MANY_RECEIVES', 'RESOURCE_EXHAUSTED');
});

test('A handler can receive one descriptor twice at the same time while it waits for the descriptor', async () => {
  const { address } = await serve({
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      const [{ url }] = (await once(call, 'data')) as [Message];
      const waits = [fds.recvFd(String(url)), fds.recvFd(String(url))];
      call.write({});
      const received = (await Promise.all(waits)).map(contentOf);
      received.push(contentOf(await fds.recvFd(String(url))));
      call.write({ received });
    }),
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options());
  const file = fileWith('late');
  defer(() => closeSync(file));
  call.write({ url: grpcfd.fdToUrl(file) });
  await once(call, 'data');
  const { sent } = fds.sendFd(file);
  call.write({});
  await sent;
  const [{ received }] = (await once(call, 'data')) as [Message];
  assert.deepEqual(received, ['late', 'late', 'late']);
  call.end();
  await once(call, 'end');
});

test('A GrpcFdError that a handler does not catch becomes the status of the call', async () => {
  const { address } = await serve({
    unary: grpcfd.handler(async (call, fds) => ({ fd: await fds.recvFd(String(call.request['name'])) })),
  });
  const client = await dial(address);
  const error = (await failure(client.unary({ name: 'fd:elsewhere:1' }))) as grpc.ServiceError;
  assert.equal(error.code, grpc.status.FAILED_PRECONDITION);
  assert.match(error.details, /^"fd:elsewhere:1" names a descriptor of another connection or call/);
});

test('Descriptors that the kernel dropped fail waiting receives and references to them, and the connection is closed', async () => {
  const address = freshAddress();
  const child = startFixture('./fixtures/full-table.js', import.meta.url, [address]);
  defer(() => child.kill());
  if (child.stdout !== null) await once(createInterface(child.stdout), 'line');
  const closed: Promise<void>[] = [];
  const client = await dial(address, {
    options: { onConnection: (connection) => void closed.push(connection.closed) },
  });
  const limiting = client.bidi();
  await once(limiting, 'data');
  const fds = grpcfd.callCredentials();
  const names = Array.from({ length: 10 }, () => fds.sendFd(0).ref);
  const { waiting, outcomes } = (await client.unary({ names }, fds.options())) as {
    waiting: string;
    outcomes: string[];
  };
  const lost = `ERR_GRPCFD_DESCRIPTORS_LOST ${grpc.status.DATA_LOSS}`;
  assert.equal(waiting, lost);
  assert.equal(outcomes.at(-1), lost);
  assert.ok(outcomes.every((outcome) => outcome === lost || outcome === 'received'));
  limiting.end();
  await once(limiting, 'end');
  await closed[0];
  const again = grpcfd.callCredentials();
  const reply = await client.unary({ names: [again.sendFd(0).ref] }, again.options());
  assert.deepEqual(reply['outcomes'], ['received']);
  assert.equal(closed.length, 2);
});

test('Over TCP and with stock credentials, every receive and send of a handler fails with a reason', async () => {
  const { promise: failed, resolve } = withResolvers<unknown[]>();
  const server = new grpcfd.Server();
  const port = await new Promise<number>((bound, reject) => {
    server.addService(
      { unary: testService.unary },
      {
        unary: grpcfd.handler(async (_call, fds) => {
          resolve(await Promise.all([failure(fds.recvFd(NEVER_COMES)), failure(fds.sendFd(0).sent)]));
          return {};
        }),
      },
    );
    server.bindAsync('localhost:0', grpcfd.serverCredentials(), (error, at) =>
      error ? reject(error) : bound(at),
    );
  });
  defer(() => server.forceShutdown());
  const client = new TestClient(`localhost:${port}`, grpc.credentials.createInsecure());
  await client.unary({});
  for (const error of await failed)
    assertFailure(error, 'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT', 'FAILED_PRECONDITION');
});
