/** What is sent while a call runs that has several attempts, or that will have another. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Connection } from '#src/grpc/connection.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { HEDGE } from '../support/policies.js';
import { dial, type Message, ready, serve, type TestClient, withResolvers } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const SOON_MS = 5_000;
const NAMES = ['ref', 'url'] as const;

function file(content: string): number {
  const fd = fileWith(content);
  defer(() => closeSync(fd));
  return fd;
}

/** A call, which does not outlast a test that fails. */
function start(client: TestClient, fds: grpcfd.FdCallCredentials): grpc.ClientDuplexStream<Message, Message> {
  const call = client.bidi(fds.options());
  call.on('error', () => {});
  defer(() => call.cancel());
  return call;
}

/** Client options: a policy that leaves the test time between two attempts. */
function slowly(policy: Record<string, unknown>): Partial<grpc.ClientOptions> {
  const methodConfig = [{ name: [{ service: 'grpcfd.test.Test' }], ...policy }];
  return { 'grpc.service_config': JSON.stringify({ methodConfig, loadBalancingConfig: [] }) };
}

const SLOW_HEDGE = slowly({
  hedgingPolicy: { maxAttempts: 3, hedgingDelay: '0.2s', nonFatalStatusCodes: [] },
});
const SLOW_RETRY = slowly({
  retryPolicy: {
    maxAttempts: 2,
    initialBackoff: '0.5s',
    maxBackoff: '0.5s',
    backoffMultiplier: 1,
    retryableStatusCodes: ['UNAVAILABLE'],
  },
});

/**
 * A server whose attempts of a bidi call are numbered as they come, and a client with hedging. Each attempt receives the file that its
 * next message names. `answer` has that attempt reply with what it received.
 */
async function hedging(clientOptions = HEDGE) {
  const contents: (string | undefined)[] = [];
  const answers: (() => void)[] = [];
  const serverEnds: grpcfd.FdConnection[] = [];
  const clientEnds: Connection[] = [];
  const { address } = await serve(
    {
      bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
        const attempt = contents.push(undefined) - 1;
        const answered = withResolvers<void>();
        answers[attempt] = answered.resolve;
        for await (const request of call) {
          const outcome = fds
            .recvFd(String((request as Message)['file']))
            .then(contentOf, (error) => error.reason);
          contents[attempt] = await outcome;
          await answered.promise;
          call.write({ attempt, content: contents[attempt] });
        }
      }),
    },
    { options: { onConnection: (connection) => void serverEnds.push(connection) } },
  );
  const client = await dial(address, {
    clientOptions,
    options: { onConnection: (connection) => void clientEnds.push(connection as Connection) },
  });
  await ready(client);
  const attempts = (count: number) => within(SOON_MS, `${count} attempts`, () => contents.length === count);
  const received = () =>
    within(SOON_MS, 'each has received', () => contents.every((each) => each !== undefined));
  return { client, contents, answers, serverEnds, clientEnds, attempts, received };
}

for (const name of NAMES) {
  test(`each hedged attempt on one connection gets what is sent while all of them run, by ${name}`, async () => {
    const { client, contents, answers, attempts, received } = await hedging();
    using fds = grpcfd.callCredentials();
    const call = start(client, fds);
    await attempts(3);
    call.write({ file: fds.sendFd(file('late'))[name] });
    await received();
    assert.deepEqual(contents, ['late', 'late', 'late']);
    answers[1]?.();
    assert.deepEqual(await once(call, 'data'), [{ attempt: 1, content: 'late' }]);
    call.end();
    await once(call.resume(), 'end');
  });

  for (const winner of [0, 1]) {
    test(`hedged attempts on two connections both get what is sent while they run, by ${name}, and attempt ${winner} can win`, async () => {
      const { client, contents, answers, clientEnds, attempts, received } = await hedging(SLOW_HEDGE);
      using fds = grpcfd.callCredentials();
      const call = start(client, fds);
      await attempts(1);
      // As after a GOAWAY: the attempt goes on, and the next ones have a connection of their own.
      clientEnds[0]?.onDescriptorsLost?.();
      await attempts(3);
      assert.equal(clientEnds.length, 2);
      const sent = fds.sendFd(file('late'));
      call.write({ file: sent[name] });
      await received();
      await sent.sent;
      assert.deepEqual(contents, ['late', 'late', 'late']);
      answers[winner]?.();
      assert.deepEqual(await once(call, 'data'), [{ attempt: winner, content: 'late' }]);
      call.end();
      await once(call.resume(), 'end');
    });
  }
}

test('when one of two attempts has won, what is sent goes with that one alone', async () => {
  const { client, contents, answers, serverEnds, clientEnds, attempts, received } = await hedging(SLOW_HEDGE);
  using fds = grpcfd.callCredentials();
  const call = start(client, fds);
  await attempts(1);
  clientEnds[0]?.onDescriptorsLost?.();
  await attempts(3);
  call.write({ file: fds.sendFd(file('first'))['ref'] });
  await received();
  answers[0]?.();
  await once(call, 'data');
  const before = serverEnds.map((end) => end.stats().receivedFds);
  const [first = 0, second = 0] = before;
  assert.equal(first + second, 3);
  call.write({ file: fds.sendFd(file('second')).ref });
  assert.deepEqual(await once(call, 'data'), [{ attempt: 0, content: 'second' }]);
  assert.deepEqual(contents[0], 'second');
  assert.deepEqual(
    serverEnds.map((end) => end.stats().receivedFds),
    [first + 1, second],
  );
  call.end();
  await once(call.resume(), 'end');
});

test('a name of several attempts is received once by each', async () => {
  const outcomes: string[][] = [];
  const { address } = await serve({
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      for await (const request of call) {
        const name = String((request as Message)['file']);
        const own: string[] = [];
        for (const options of [{ keep: true }, undefined, undefined, { keep: true }]) {
          own.push(await fds.recvFd(name, options).then(contentOf, (error) => error.reason));
        }
        outcomes.push(own);
      }
    }),
  });
  const client = await dial(address, { clientOptions: HEDGE });
  await ready(client);
  using fds = grpcfd.callCredentials();
  const call = start(client, fds);
  await delay(100);
  call.write({ file: fds.sendFd(file('late')).ref });
  await within(SOON_MS, 'three attempts', () => outcomes.length === 3);
  const again = 'ERR_GRPCFD_ALREADY_RECEIVED';
  assert.deepEqual(outcomes, Array(3).fill(['late', 'late', again, again]));
  call.end();
  await once(call.resume(), 'end');
});

test('two calls with the same credentials each get what is sent while both run', async () => {
  const { address } = await serve({
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      call.write({});
      for await (const request of call) {
        call.write({ content: contentOf(await fds.recvFd(String((request as Message)['file']))) });
      }
    }),
  });
  const client = await dial(address);
  using fds = grpcfd.callCredentials();
  const calls = [start(client, fds), start(client, fds)];
  const replies = calls.map((): Message[] => []);
  for (const [index, call] of calls.entries()) call.on('data', (message) => replies[index]?.push(message));
  await within(SOON_MS, 'both run', () => replies.every(({ length }) => length === 1));
  const { ref } = fds.sendFd(file('late'));
  for (const call of calls) call.write({ file: ref });
  await within(SOON_MS, 'both answer', () => replies.every(({ length }) => length === 2));
  assert.deepEqual(replies, Array(2).fill([{}, { content: 'late' }]));
  for (const call of calls) {
    call.end();
    await once(call, 'end');
  }
});

test('what is sent between two attempts goes with the next one, and not for one that has ended', async () => {
  let attempts = 0;
  const serverEnds: grpcfd.FdConnection[] = [];
  const { address } = await serve(
    {
      bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
        attempts++;
        if (attempts === 1) throw Object.assign(new Error('not now'), { code: grpc.status.UNAVAILABLE });
        for await (const request of call) {
          call.write({ content: contentOf(await fds.recvFd(String((request as Message)['file']))) });
        }
      }),
    },
    { options: { onConnection: (connection) => void serverEnds.push(connection) } },
  );
  const client = await dial(address, { clientOptions: SLOW_RETRY });
  await ready(client);
  using fds = grpcfd.callCredentials();
  let call = start(client, fds);
  for (let tries = 1; ; tries++) {
    await within(SOON_MS, 'an attempt', () => attempts > 0);
    // Its status comes.
    await delay(50);
    if (attempts === 1) break;
    // The pause before the next attempt has any length up to half a second with grpc-js 1.13.
    assert.ok(tries < 20);
    call.cancel();
    attempts = 0;
    call = start(client, fds);
  }
  call.write({ file: fds.sendFd(file('between')).ref });
  assert.deepEqual(await once(call, 'data'), [{ content: 'between' }]);
  assert.deepEqual(
    serverEnds.map((end) => end.stats().receivedFds),
    [1],
  );
  call.end();
  await once(call.resume(), 'end');
});
