import assert from 'node:assert/strict';
import { closeSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as v8 from 'node:v8';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { Attachment } from '#src/grpc/client/attachment.js';
import { ClientCall } from '#src/grpc/client/client-call.js';
import { Connection } from '#src/grpc/connection.js';
import { CountedFd } from '#src/grpc/counted-fd.js';
import { CallScope } from '#src/inbox/call-scope.js';
import { PendingReceive } from '#src/inbox/pending-receive.js';
import { allClosed } from '../support/all-closed.js';
import { defer, descriptorTable, trackDescriptors } from '../support/fd-table.js';
import { Gate } from '../support/gate.js';
import { dial, type Message, serve, type TestClient } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

const echoing = {
  unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
    await using file = await fds.recvFile(String(call.request['file']));
    return { file: fds.sendFile(file).ref };
  }),
};

function newFile(): number {
  const fd = fileWith('content');
  defer(() => closeSync(fd));
  return fd;
}

/** How many descriptors of this process refer to the same file as `fd`. */
function copiesOf(fd: number): number {
  const name = readlinkSync(`/proc/self/fd/${fd}`);
  return [...descriptorTable().values()].filter((target) => target === name).length;
}

/** Collects garbage until the condition holds; the timeout of the test ends it. */
async function collectUntil(condition: () => boolean): Promise<void> {
  assert.ok(globalThis.gc, 'run with --expose-gc');
  while (!condition()) {
    // The turn ends first, because an object that a WeakRef returned is kept until then.
    await delay(1);
    globalThis.gc();
  }
}

/** How many objects of a class are alive. */
function alive(type: new (...args: never[]) => object): number {
  const { queryObjects } = v8 as unknown as {
    queryObjects(type: unknown, options: { format: 'count' }): number;
  };
  return queryObjects(type, { format: 'count' });
}

/** A call that sends a file and receives one, with its own credentials, which are never closed. */
async function callOnce(client: TestClient, file: number): Promise<WeakRef<object>> {
  const fds = grpcfd.callCredentials();
  const reply = await client.unary({ file: fds.sendFd(file).ref }, fds.options());
  closeSync(await fds.recvFd(String(reply['file'])));
  return new WeakRef(fds);
}

test('Unused credentials that are garbage collected close their files and reject the promises of their sends', async () => {
  const file = newFile();
  const outcomes = (() => {
    const fds = grpcfd.callCredentials();
    return Array.from({ length: 10 }, () => fds.sendFd(file).sent);
  })();
  assert.equal(copiesOf(file), 11);
  await collectUntil(() => copiesOf(file) === 1);
  for (const sent of outcomes) await assert.rejects(sent, { reason: 'ERR_GRPCFD_CLOSED' });
});

test('Closing unused credentials closes their files at once', async () => {
  const file = newFile();
  let outcome: Promise<void>;
  {
    using fds = grpcfd.callCredentials();
    outcome = fds.sendFd(file).sent;
    assert.equal(copiesOf(file), 2);
  }
  await allClosed();
  assert.equal(copiesOf(file), 1);
  await assert.rejects(outcome, { reason: 'ERR_GRPCFD_CLOSED' });
});

test('Credentials of a running call are not garbage collected, because a retry may need their files', async () => {
  const gate = new Gate();
  const { address } = await serve({
    unary: grpcfd.handler(async () => {
      await gate.wait();
      return {};
    }),
  });
  const client = await dial(address);
  const file = newFile();
  const reply = (() => {
    const fds = grpcfd.callCredentials();
    fds.sendFd(file);
    return client.unary({}, fds.options());
  })();
  await gate.reached;
  for (let round = 0; round < 5; round++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(copiesOf(file), 3, "the test's, the one for another attempt, the server's");
  gate.open();
  await reply;
  await collectUntil(() => copiesOf(file) === 1);
});

test('After 3,000 calls, each with its own credentials, their connection keeps nothing of them', async () => {
  const { address } = await serve(echoing);
  const client = await dial(address);
  const file = newFile();
  await callOnce(client, file);
  const classes = [ClientCall, Attachment, CountedFd, CallScope, PendingReceive];
  const credentials: WeakRef<object>[] = [];
  for (let count = 0; count < 3_000; count++) credentials.push(await callOnce(client, file));
  await collectUntil(() => credentials.every((each) => each.deref() === undefined));
  await collectUntil(() => classes.every((each) => alive(each) < 50));
});

test('Credentials that outlive many connections do not keep the connections in memory', async () => {
  const { address } = await serve(echoing);
  const fds = grpcfd.callCredentials();
  const file = newFile();
  for (let count = 0; count < 40; count++) {
    const client = await dial(address);
    const reply = await client.unary({ file: fds.sendFd(file).ref }, fds.options());
    closeSync(await fds.recvFd(String(reply['file'])));
    client.grpc.close();
  }
  await collectUntil(() => alive(Connection) < 20);
  fds.close();
});
