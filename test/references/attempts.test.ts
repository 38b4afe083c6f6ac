import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Connection } from '#src/grpc/connection.js';
import { native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { Gate } from '../support/gate.js';
import { closing, openFileOf } from '../support/open-file.js';
import { HEDGE, RETRY } from '../support/policies.js';
import {
  dial,
  type Message,
  SECURITIES,
  serve,
  type TestClient,
  type TestHandlers,
} from '../support/service.js';

trackDescriptors();

/** Both ends of a pipe: two open files with one inode. The end of the test closes them. */
function pipe(): { out: number; into: number } {
  const [out, into] = native.testing.pipe();
  defer(() => [out, into].forEach(closeSync));
  return { out, into };
}

type Ends = ReturnType<typeof pipe>;
const ENDS = ['out', 'into'] as const;

const identify = ({ out, into }: Ends) => ({ out: openFileOf(out), into: openFileOf(into) });

/** Sends the descriptors of a request back, and their identities. */
async function mirror(request: unknown, fds: grpcfd.FdTransceiver) {
  await using ends = await fds.recvFiles(request as Record<'out' | 'into', string>, ENDS);
  return { was: identify({ out: ends.out.fd, into: ends.into.fd }), ...fds.refs(ends) };
}

async function assertMirrored(
  sent: Ends,
  reply: Message | undefined,
  fds: grpcfd.FdTransceiver,
  options?: grpcfd.ReceiveOptions,
) {
  assert.deepEqual(reply?.['was'], identify(sent));
  await using back = await fds.recvFiles(reply as Record<'out' | 'into', string>, ENDS, options);
  assert.deepEqual(identify({ out: back.out.fd, into: back.into.fd }), identify(sent));
}

const mirroring: TestHandlers = {
  unary: grpcfd.handler((call: grpc.ServerUnaryCall<Message, Message>, fds) => mirror(call.request, fds)),
};

function ready(client: TestClient): Promise<void> {
  return new Promise((resolve, reject) => {
    client.grpc.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve()));
  });
}

const unavailable = Object.assign(new Error('not this time'), { code: grpc.status.UNAVAILABLE });

for (const security of SECURITIES) {
  test(`${security}: when a connection is replaced during a slow token, the new connection carries the descriptors with new sequence numbers`, async () => {
    const { address } = await serve(mirroring, { security });
    const connections: Connection[] = [];
    const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection as Connection);
    const client = await dial(address, { security, options: { onConnection }, clientOptions: RETRY });
    await ready(client);
    const gate = new Gate();
    const slow = grpc.credentials.createFromMetadataGenerator(async (_, callback) => {
      await gate.wait();
      callback(null, new grpc.Metadata());
    });
    using fds = grpcfd.callCredentials(slow);
    const sent = pipe();
    const reply = client.unary(fds.refs(sent), fds.options());
    await gate.reached;
    connections[0]?.socket.destroy();
    // On the second connection, other files of the same inode have their sequence numbers, in reverse order.
    using others = grpcfd.callCredentials();
    const { out, into } = others.refs({ into: sent.into, out: sent.out });
    await client.unary({ out, into }, others.options(), new grpc.Metadata({ waitForReady: true }));
    gate.open();
    await assertMirrored(sent, await reply, fds);
    assert.equal(connections.length, 2);
  });
}

test('Every attempt of a retried call has its descriptors, on the same connection and on the next one', async () => {
  const seen: unknown[] = [];
  const connections: Connection[] = [];
  const { address } = await serve(
    {
      unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
        const reply = await mirror(call.request, fds);
        seen.push(reply.was);
        if (seen.length === 1) throw unavailable;
        if (seen.length === 2) connections[0]?.socket.destroy();
        return reply;
      }),
    },
    { options: { onConnection: (connection) => void connections.push(connection as Connection) } },
  );
  const client = await dial(address, { clientOptions: RETRY });
  using fds = grpcfd.callCredentials();
  const sent = pipe();
  await assertMirrored(sent, await client.unary(fds.refs(sent), fds.options()), fds);
  assert.deepEqual(seen, Array(3).fill(identify(sent)));
  assert.equal(connections.length, 2);
});

test('References that were sent on a stream work in its next attempt on another connection', async () => {
  const seen: unknown[] = [];
  const connections: Connection[] = [];
  const { address } = await serve(
    {
      bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
        for await (const request of call) {
          const reply = await mirror(request, fds);
          seen.push(reply.was);
          if (seen.length === 2) connections[0]?.socket.destroy();
          if (seen.length > 3) call.write(reply);
        }
      }),
    },
    { options: { onConnection: (connection) => void connections.push(connection as Connection) } },
  );
  const client = await dial(address, { clientOptions: RETRY });
  await ready(client);
  using fds = grpcfd.callCredentials();
  const [first, second] = [pipe(), pipe()];
  const call = client.bidi(fds.options());
  const early = fds.refs(first);
  // The stream starts when the credentials have been awaited, also without a token.
  await new Promise((resolve) => setImmediate(resolve));
  call.write(early);
  call.write(fds.refs(second));
  const [reply] = (await once(call, 'data')) as [Message];
  assert.deepEqual(seen, [first, second, first, second].map(identify));
  await assertMirrored(second, reply, fds);
  call.end();
  await once(call.resume(), 'end');
});

test('Each hedged attempt has the descriptors, and the reply of the winning attempt names its own descriptors', async () => {
  let attempts = 0;
  const all = new Gate();
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      const reply = await mirror(call.request, fds);
      attempts++;
      if (attempts === 3) all.open();
      await all.wait();
      return reply;
    }),
  });
  const client = await dial(address, { clientOptions: HEDGE });
  using fds = grpcfd.callCredentials();
  const sent = pipe();
  await assertMirrored(sent, await client.unary(fds.refs(sent), fds.options()), fds);
  assert.equal(attempts, 3);
});

test('Calls with the same credentials on two channels both have the descriptors, and each reply names its own', async () => {
  const both = new Gate();
  let calls = 0;
  const waiting: TestHandlers = {
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      calls++;
      if (calls === 2) both.open();
      await both.wait();
      return mirror(call.request, fds);
    }),
  };
  const servers = await Promise.all([serve(waiting), serve(waiting)]);
  const clients = await Promise.all(servers.map(({ address }) => dial(address)));
  using fds = grpcfd.callCredentials();
  const sent = pipe();
  const request = fds.refs(sent);
  const replies = await Promise.all(clients.map((client) => client.unary(request, fds.options())));
  for (const reply of replies) await assertMirrored(sent, reply, fds);
});

test('Two credentials in one call can carry the two ends of one pipe', async () => {
  const { address } = await serve(mirroring);
  const client = await dial(address);
  using first = grpcfd.callCredentials();
  using second = grpcfd.callCredentials();
  const sent = pipe();
  const request = { out: first.sendFd(sent.out).ref, into: second.sendFd(sent.into).ref };
  const reply = await client.unary(request, first.options(second.options()));
  await assertMirrored(sent, reply, first, { keep: true });
  await assertMirrored(sent, reply, second);
  await assert.rejects(assertMirrored(sent, reply, first), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
});

test('After credentials are closed during a call, a later attempt reports that the descriptor was not sent', async () => {
  const outcomes: unknown[] = [];
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      const outcome = (fd: number) => closing(fd, openFileOf);
      const reason = (error: grpcfd.GrpcFdError) => error.reason;
      const kept = fds.recvFd(String(call.request['file']), { keep: true });
      outcomes.push(await kept.then(outcome, reason));
      const received = fds.received();
      outcomes.push(
        await received.next().then(async ({ value }) => {
          await using file = value;
          return openFileOf(file.fd);
        }, reason),
      );
      if (outcomes.length > 2) return {};
      credentials.close();
      throw unavailable;
    }),
  });
  const client = await dial(address, { clientOptions: RETRY });
  const credentials = grpcfd.callCredentials();
  await client.unary({ file: credentials.sendFd(0).ref }, credentials.options());
  const gone = 'ERR_GRPCFD_NOT_FOUND';
  assert.deepEqual(outcomes, [openFileOf(0), openFileOf(0), gone, gone]);
});
