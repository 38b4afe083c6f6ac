import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { runFixture, startFixture } from '../support/child.js';
import { assertFails } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  bind,
  dial,
  freshAddress,
  type Message,
  type Security,
  serve,
  stockChannelCredentials,
  stockServerCredentials,
  TestClient,
  testService,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

const NEVER_COMES = 'inode://1/1';

/** A client that has finished a call, so that the credentials know its connection. */
async function afterCall(options?: grpcfd.FdConnectionOptions) {
  const { server, address } = await serve({ unary: grpcfd.handler(() => ({})) });
  const client = await dial(address, { ...(options && { options }) });
  const fds = grpcfd.callCredentials();
  defer(() => fds.close());
  await client.unary({}, fds.options());
  return { server, client, fds };
}

test('A receive at a client ends when its signal aborts, and its error has the reason of the signal', async () => {
  const { fds } = await afterCall();
  const controller = new AbortController();
  const waiting = fds.recvFd(NEVER_COMES, { signal: controller.signal });
  const reason = new Error('enough');
  controller.abort(reason);
  assert.equal((await assertFails(waiting, 'ERR_GRPCFD_ABORTED', 'CANCELLED')).cause, reason);
  const late = fds.recvFd(NEVER_COMES, { signal: controller.signal });
  assert.equal((await assertFails(late, 'ERR_GRPCFD_ABORTED', 'CANCELLED')).cause, reason);
});

test('A receive at a client ends after timeoutMs', async () => {
  const { fds } = await afterCall();
  const waiting = fds.recvFd(NEVER_COMES, { timeoutMs: 20 });
  await assertFails(waiting, 'ERR_GRPCFD_TIMEOUT', 'DEADLINE_EXCEEDED');
});

test('A receive at a client ends when its credentials are closed, and no receive starts after that', async () => {
  const { fds } = await afterCall();
  const waiting = fds.recvFd(NEVER_COMES);
  fds.close();
  await assertFails(waiting, 'ERR_GRPCFD_CLOSED', 'CANCELLED');
  await assertFails(fds.recvFd(NEVER_COMES), 'ERR_GRPCFD_CLOSED', 'CANCELLED');
  assert.throws(() => fds.sendFd(0), { reason: 'ERR_GRPCFD_CLOSED' });
});

test('A receive at a client ends holdMs after its call', async () => {
  const { fds } = await afterCall({ holdMs: 30 });
  await assertFails(fds.recvFd(NEVER_COMES), 'ERR_GRPCFD_HOLD_EXPIRED', 'DEADLINE_EXCEEDED');
});

test('A receive at a client whose credentials are used for no call ends after the default holdMs', async () => {
  const { code, stderr } = await runFixture('fixtures/default-hold.js', import.meta.url);
  assert.equal(code, 0, stderr);
});

test('A receive at a client lasts longer than holdMs while a call runs', async () => {
  const { address } = await serve({
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      const [{ url }] = (await once(call, 'data')) as [Message];
      const file = await fds.recvFile(String(url));
      call.write({ url: fds.sendFile(file).url });
      await file.close();
    }),
  });
  const client = await dial(address, { options: { holdMs: 10 } });
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options());
  const file = fileWith('there and back');
  defer(() => closeSync(file));
  const waiting = fds.recvFd(grpcfd.fdToUrl(file));
  await assertFails(fds.recvFd(NEVER_COMES, { timeoutMs: 50 }), 'ERR_GRPCFD_TIMEOUT', 'DEADLINE_EXCEEDED');
  call.write({ url: fds.sendFd(file).url });
  assert.equal(contentOf(await waiting), 'there and back');
  call.end();
  await once(call.resume(), 'end');
});

test('A receive at a client that outlasts its call ends when the connection closes', async () => {
  const { client, fds } = await afterCall();
  const waiting = fds.recvFd(NEVER_COMES);
  client.grpc.close();
  await assertFails(waiting, 'ERR_GRPCFD_CONNECTION_CLOSED', 'UNAVAILABLE');
  await assertFails(fds.recvFd(NEVER_COMES), 'ERR_GRPCFD_CONNECTION_CLOSED', 'UNAVAILABLE');
});

test('A receive at a client during its call ends when the server process is killed', async () => {
  const address = freshAddress();
  const child = startFixture('./fixtures/peer.js', import.meta.url, ['server', address]);
  if (child.stdout !== null) await once(createInterface(child.stdout), 'line');
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  await client.unary({}, fds.options());
  const waiting = fds.recvFd(NEVER_COMES);
  const unanswered = client.unary({}, fds.options());
  child.kill('SIGKILL');
  await assert.rejects(unanswered, { code: grpc.status.UNAVAILABLE });
  await assertFails(waiting, 'ERR_GRPCFD_CONNECTION_CLOSED', 'UNAVAILABLE');
});

test('A receive at a client ends when the server calls forceShutdown', async () => {
  const { server, fds } = await afterCall();
  const waiting = fds.recvFd(NEVER_COMES);
  server.forceShutdown();
  await assertFails(waiting, 'ERR_GRPCFD_CONNECTION_CLOSED', 'UNAVAILABLE');
});

test('A client may have maxPendingReceives receives waiting, and one more is refused', async () => {
  const { fds } = await afterCall({ maxPendingReceives: 1 });
  const waiting = fds.recvFd('inode://1/1');
  await assertFails(fds.recvFd('inode://1/2'), 'ERR_GRPCFD_TOO_MANY_RECEIVES', 'RESOURCE_EXHAUSTED');
  fds.close();
  await assertFails(waiting, 'ERR_GRPCFD_CLOSED', 'CANCELLED');
});

test('A client can receive one file many times, before and after the file has arrived', async () => {
  const answer = fileWith('answer');
  defer(() => closeSync(answer));
  const { address } = await serve({
    unary: grpcfd.handler((_call, fds) => ({ url: fds.sendFd(answer).url })),
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const url = grpcfd.fdToUrl(answer);
  const before = [fds.recvFd(url), fds.recvFd(url)];
  await client.unary({}, fds.options());
  const after = [fds.recvFd(url), fds.recvFd(new URL(url)), fds.recvFd(grpcfd.urlToDevIno(url))];
  const contents = (await Promise.all([...before, ...after])).map(contentOf);
  assert.deepEqual(contents, Array(5).fill('answer'));
});

test('Closing credentials while descriptors arrive settles every receive and leaks nothing', async () => {
  const answers = Array.from({ length: 20 }, (_, index) => fileWith(`${index}`));
  defer(() => answers.forEach(closeSync));
  const { address } = await serve({
    unary: grpcfd.handler((_call, fds) => ({ urls: answers.map((fd) => fds.sendFd(fd).url) })),
  });
  const client = await dial(address);
  for (let round = 0; round < 20; round++) {
    const fds = grpcfd.callCredentials();
    const waits = answers.map((fd) => fds.recvFd(grpcfd.fdToUrl(fd)).then(contentOf, ({ reason }) => reason));
    const [first] = waits;
    const call = client.unary({}, fds.options());
    await (round % 2 === 0 ? first : undefined);
    fds.close();
    for (const [index, outcome] of (await Promise.all(waits)).entries()) {
      assert.ok([`${index}`, 'ERR_GRPCFD_CLOSED'].includes(outcome), outcome);
    }
    await call;
  }
});

for (const security of ['plaintext', 'TLS'] as Security[]) {
  test(`${security}: a receive over a TCP connection fails and names the reason`, async () => {
    const server = new grpcfd.Server();
    server.addService({ unary: testService.unary }, { unary: grpcfd.handler(() => ({})) });
    const credentials = grpcfd.serverCredentials(await stockServerCredentials(security));
    const port = await bind(server, 'localhost:0', credentials);
    defer(() => server.forceShutdown());
    const channel = grpcfd.channelCredentials(await stockChannelCredentials(security));
    const client = new TestClient(`localhost:${port}`, channel);
    const fds = grpcfd.callCredentials();
    const { sent } = fds.sendFd(0);
    const early = fds.recvFd(NEVER_COMES);
    await client.unary({}, fds.options());
    for (const failed of [sent, early, fds.recvFd(NEVER_COMES)]) {
      await assertFails(failed, 'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT', 'FAILED_PRECONDITION');
    }
  });
}

test('A receive over stock channel credentials on a unix socket fails and names the reason', async () => {
  const { address } = await serve({ unary: grpcfd.handler(() => ({})) });
  const client = new TestClient(address, grpc.credentials.createInsecure());
  const fds = grpcfd.callCredentials();
  const { sent } = fds.sendFd(0);
  const early = fds.recvFd(NEVER_COMES);
  await client.unary({}, fds.options());
  for (const failed of [sent, early, fds.recvFd(NEVER_COMES)]) {
    await assertFails(failed, 'ERR_GRPCFD_NO_DESCRIPTOR_SUPPORT', 'FAILED_PRECONDITION');
  }
});

test('Rejected promises that the user does not read do not end the process', async () => {
  const { fds } = await afterCall();
  void fds.recvFd(NEVER_COMES);
  void fds.recvFile(NEVER_COMES);
  void fds.recvFd('nonsense');
  void fds.recvFile('nonsense');
  void fds.recvFd(NEVER_COMES, { timeoutMs: 1 });
  void fds.sendFd(0).sent;
  fds.close();
  void fds.recvFd(NEVER_COMES);
  void fds.recvFile(NEVER_COMES);
  // The test runner fails this test if a rejection still has no handler a few turns later.
  await new Promise((resolve) => setTimeout(resolve, 5));
});
