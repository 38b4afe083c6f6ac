import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { closeSoon, closeTogether } from '#src/native/close-together.js';
import { allClosed } from '../support/all-closed.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, serve } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const COUNT = 64;

/** How many descriptors the calls of close() and closeAll() were given, of those that were given any. */
function countCloses(t: TestContext): number[] {
  const counts: number[] = [];
  const { close, closeAll } = native;
  t.mock.method(native, 'close', (fd: number) => {
    counts.push(1);
    close(fd);
  });
  t.mock.method(native, 'closeAll', (fds: readonly number[]) => {
    if (fds.length > 0) counts.push(fds.length);
    closeAll(fds);
  });
  return counts;
}

function files(): number[] {
  const fds = Array.from({ length: COUNT }, (_, index) => fileWith(`file ${index}`));
  defer(() => {
    for (const fd of fds) closeSync(fd);
  });
  return fds;
}

test('the duplicates of what a call sent are closed in one go, at the client and at the server', async (t) => {
  const replies = files();
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      const received = await Promise.all((call.request['refs'] as string[]).map((ref) => fds.recvFd(ref)));
      for (const fd of received) closeSync(fd);
      return { refs: replies.map((fd) => fds.sendFd(fd).ref) };
    }),
  });
  const client = await dial(address);
  const requests = files();
  const closes = countCloses(t);
  const fds = grpcfd.callCredentials();
  const reply = await client.unary({ refs: requests.map((fd) => fds.sendFd(fd).ref) }, fds.options());
  const received = await Promise.all((reply['refs'] as string[]).map((ref) => fds.recvFd(ref)));
  for (const fd of received) closeSync(fd);
  fds.close();
  await allClosed();
  assert.deepEqual(closes, [COUNT, COUNT]);
});

test('what is let go of is closed, also where letting go fails, and one inside of another', () => {
  const fd = fileWith('content');
  const first = native.duplicate(fd);
  const second = native.duplicate(fd);
  assert.throws(
    () =>
      closeTogether(() => {
        closeTogether(() => closeSoon(first));
        closeSoon(second);
        throw new Error('on purpose');
      }),
    /on purpose/,
  );
  closeSoon(fd);
});
