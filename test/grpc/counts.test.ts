import assert from 'node:assert/strict';
import { closeSync, fstatSync } from 'node:fs';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, SECURITIES, serve, type TestHandlers } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

function filesWith(prefix: string, count: number): number[] {
  const fds = Array.from({ length: count }, (_, index) => fileWith(`${prefix} ${index}`));
  defer(() => {
    for (const fd of fds) closeSync(fd);
  });
  return fds;
}

/** Checks that the files arrived in the order of sending. */
async function assertInOrder(
  fds: grpcfd.FdTransceiver,
  files: readonly string[],
  prefix: string,
): Promise<void> {
  for (const [index, file] of files.entries()) {
    assert.equal(contentOf(await fds.recvFd(file)), `${prefix} ${index}`);
  }
}

/** Checks the files of a request, and replies with other files and as much padding as the request has. */
function checking(answers: readonly number[]): TestHandlers {
  return {
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      await assertInOrder(fds, call.request['files'] as string[], 'question');
      const { length } = String(call.request['padding'] ?? '');
      return { files: answers.map((fd) => fds.sendFd(fd).ref), padding: 'x'.repeat(length) };
    }),
  };
}

for (const security of SECURITIES) {
  for (const count of [1, 9, 10, 64, 65, 200, 1000]) {
    test(`${security}: one call sends ${count} files and receives ${count}, in order`, async () => {
      const questions = filesWith('question', count);
      const { address } = await serve(checking(filesWith('answer', count)), { security });
      const client = await dial(address, { security });
      const fds = grpcfd.callCredentials();
      const sent = questions.map((fd) => fds.sendFd(fd));
      const reply = await client.unary({ files: sent.map(({ ref }) => ref) }, fds.options());
      await Promise.all(sent.map((each) => each.sent));
      await assertInOrder(fds, reply['files'] as string[], 'answer');
      fds.close();
    });
  }

  for (const length of [0, 1, 9, 16_384, 65_536, 1_048_576]) {
    test(`${security}: a message with ${length} bytes of padding brings 70 files in order`, async () => {
      const questions = filesWith('question', 70);
      const { address } = await serve(checking(filesWith('answer', 70)), { security });
      const client = await dial(address, { security });
      const fds = grpcfd.callCredentials();
      const files = questions.map((fd) => fds.sendFd(fd).ref);
      const reply = await client.unary({ files, padding: 'x'.repeat(length) }, fds.options());
      assert.equal(String(reply['padding']).length, length);
      await assertInOrder(fds, reply['files'] as string[], 'answer');
      fds.close();
    });
  }
}

test('A file above maxFdsPerCall is refused when it is sent, and the files before it arrive', async () => {
  const [file = -1] = filesWith('question', 1);
  const { address } = await serve(checking([]));
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const first = fds.sendFd(file);
  for (let count = 1; count < 1024; count++) fds.sendFd(file);
  assert.throws(() => fds.sendFd(file), { reason: 'ERR_GRPCFD_TOO_MANY_DESCRIPTORS', code: 8 });
  await client.unary({ files: [first.ref] }, fds.options());
  await first.sent;
  fds.close();
});

test('500 calls that start in one turn of the event loop each get their own file', async () => {
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => ({
      content: contentOf(await fds.recvFd(String(call.request['file']))),
    })),
  });
  const client = await dial(address);
  const files = filesWith('file', 500);
  const replies = await Promise.all(
    files.map((fd) => {
      const fds = grpcfd.callCredentials();
      return client.unary({ file: fds.sendFd(fd).ref }, fds.options());
    }),
  );
  assert.deepEqual(
    replies.map(({ content }) => content),
    files.map((_, index) => `file ${index}`),
  );
});

function inodeOf(fd: number): bigint {
  try {
    return fstatSync(fd, { bigint: true }).ino;
  } finally {
    closeSync(fd);
  }
}

/** Checks which file arrived, and sends it back by another descriptor. */
const echoing: TestHandlers = {
  unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
    const fd = await fds.recvFd(String(call.request['file']));
    const { ref } = fds.sendFd(fd);
    return { file: ref, ino: String(inodeOf(fd)) };
  }),
};

async function oneCallEachWay(client: Awaited<ReturnType<typeof dial>>, file: number): Promise<void> {
  const expected = fstatSync(file, { bigint: true }).ino;
  const fds = grpcfd.callCredentials();
  const reply = await client.unary({ file: fds.sendFd(file).ref }, fds.options());
  assert.equal(reply['ino'], String(expected));
  assert.equal(inodeOf(await fds.recvFd(String(reply['file']))), expected);
}

test('10,000 calls on one connection each send a file and receive one', async () => {
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const { address } = await serve(echoing, { options: { onConnection } });
  const client = await dial(address, { options: { onConnection } });
  const files = filesWith('file', 7);
  let started = 0;
  const worker = async () => {
    for (let number = started++; number < 10_000; number = started++) {
      await oneCallEachWay(client, files[number % files.length] ?? -1);
    }
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  for (const { role, stats } of connections.map((each) => ({ role: each.role, stats: each.stats() }))) {
    assert.equal(stats.receivedFds, 10_000, role);
    assert.equal(stats.sentFds, 10_000, role);
    assert.equal(stats.pendingFds, 0, role);
  }
  assert.equal(connections.length, 2);
});

test('1,000 connections in succession each carry a call', async () => {
  const { address } = await serve(echoing);
  const [file = -1] = filesWith('file', 1);
  for (let count = 0; count < 1_000; count++) {
    const client = await dial(address);
    await oneCallEachWay(client, file);
    client.grpc.close();
  }
});
