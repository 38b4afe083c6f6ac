import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { Gate } from '../support/gate.js';
import { dial, type Message, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

/**
 * A client and a server whose handler sends one file with each reply: in the call, which the client then knows, or outside of it, on the
 * connection.
 */
async function setUp(where: 'in the call' | 'on the connection' = 'in the call') {
  const file = fileWith('from the server');
  defer(() => closeSync(file));
  const gate = new Gate();
  const serverEnds: grpcfd.FdConnection[] = [];
  const { address } = await serve(
    {
      unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
        if (call.request['wait'] === true) await gate.wait();
        const sender = where === 'in the call' ? fds : serverEnds[0];
        const sent = sender?.sendFd(file);
        return { url: sent?.url, ref: sent?.ref };
      }),
    },
    { options: { onConnection: (connection) => void serverEnds.push(connection) } },
  );
  const connections: grpcfd.FdConnection[] = [];
  const client = await dial(address, {
    options: { onConnection: (connection) => connections.push(connection) },
  });
  const held = () => connections[0]?.stats().heldFds;
  return { client, held, gate };
}

for (const [how, name, options] of [
  ['by url', 'url', undefined],
  ['by ref with keep', 'ref', { keep: true }],
] as const) {
  test(`close() has the connection let go of what was received ${how}, and the receiver keeps its own`, async () => {
    const { client, held } = await setUp();
    const fds = grpcfd.callCredentials();
    const reply = await client.unary({}, fds.options());
    const first = await fds.recvFd(String(reply[name]), options);
    const again = await fds.recvFd(String(reply[name]), options);
    assert.equal(held(), 1);
    fds.close();
    assert.equal(held(), 0);
    assert.equal(contentOf(first), 'from the server');
    assert.equal(contentOf(again), 'from the server');
  });

  test(`credentials used for many calls hold what the latest one received ${how}`, async () => {
    const { client, held } = await setUp();
    using fds = grpcfd.callCredentials();
    for (let call = 0; call < 20; call++) {
      const reply = await client.unary({}, fds.options());
      closeSync(await fds.recvFd(String(reply[name]), options));
      assert.equal(held(), 1);
    }
  });
}

test('what was received by ref is held no more, and close() does not touch it', async () => {
  const { client, held } = await setUp();
  const fds = grpcfd.callCredentials();
  const { ref } = (await client.unary({}, fds.options())) as { ref: string };
  assert.equal(held(), 1);
  const file = await fds.recvFd(ref);
  assert.equal(held(), 0);
  for (const options of [undefined, { keep: true }]) {
    await assert.rejects(fds.recvFd(ref, options), {
      reason: 'ERR_GRPCFD_ALREADY_RECEIVED',
      code: grpc.status.FAILED_PRECONDITION,
    });
  }
  fds.close();
  assert.equal(contentOf(file), 'from the server');
});

test('credentials used for many calls that receive by ref hold nothing', async () => {
  const { client, held } = await setUp();
  using fds = grpcfd.callCredentials();
  for (let call = 0; call < 20; call++) {
    const reply = await client.unary({}, fds.options());
    closeSync(await fds.recvFd(String(reply['ref'])));
    assert.equal(held(), 0);
  }
});

for (const how of ['closed', 'used for a next call', 'collected'] as const) {
  test(`what was not received is closed when the last credentials that could name it are ${how}, and not before`, async () => {
    const { client, held } = await setUp('on the connection');
    const last = { fds: grpcfd.callCredentials() as grpcfd.FdCallCredentials | undefined };
    const others = [grpcfd.callCredentials(), grpcfd.callCredentials()] as const;
    await Promise.all([last.fds, ...others].map((fds) => client.unary({}, fds?.options())));
    others[0].close();
    assert.equal(held(), 3);
    others[1].close();
    assert.equal(held(), 3);
    if (how === 'closed') {
      last.fds?.close();
      assert.equal(held(), 0);
    } else if (how === 'used for a next call') {
      await client.unary({}, last.fds?.options());
      assert.equal(held(), 1, 'what came with that call');
      last.fds?.close();
      assert.equal(held(), 0);
    } else {
      last.fds = undefined;
      await within(10_000, 'closed', () => {
        globalThis.gc?.();
        return held() === 0;
      });
    }
  });
}

for (const when of ['before their call got its connection', 'while their call runs'] as const) {
  test(`what comes for credentials that were closed ${when} is closed with the call, and in the way of nobody`, async () => {
    const { client, held, gate } = await setUp();
    await client.unary({});
    const early = grpcfd.callCredentials();
    const reply = client.unary({ wait: true }, early.options());
    if (when === 'while their call runs') await gate.reached;
    early.close();
    gate.open();
    await reply;
    await within(10_000, 'closed', () => held() === 0);
    // And the connection does not take them for somebody who may still receive.
    const fds = grpcfd.callCredentials();
    await client.unary({}, fds.options());
    assert.equal(held(), 1);
    fds.close();
    assert.equal(held(), 0);
  });
}

test('a next call of credentials whose other call still runs lets go of nothing', async () => {
  const { client, held } = await setUp();
  using fds = grpcfd.callCredentials();
  const replies = await Promise.all([client.unary({}, fds.options()), client.unary({}, fds.options())]);
  assert.equal(held(), 2);
  for (const { ref } of replies) closeSync(await fds.recvFd(String(ref)));
  assert.equal(held(), 0);
});

test('a thousand calls, each with credentials that are closed, leave nothing held', async () => {
  const { client, held } = await setUp();
  for (let call = 0; call < 1000; call++) {
    using fds = grpcfd.callCredentials();
    const reply = await client.unary({}, fds.options());
    closeSync(await fds.recvFd(String(reply['ref'])));
  }
  assert.equal(held(), 0);
});
