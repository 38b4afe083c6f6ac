/** References to what a client sends on its connection, outside of any call. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { conversation, converse, KINDS } from '../support/kinds.js';
import {
  dial,
  freshAddress,
  type Message,
  SECURITIES,
  serve,
  TestClient,
  type TestHandlers,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

const reading = conversation(async (request, fds) => ({
  content: contentOf(await fds.recvFd(String(request['file']))),
}));

/** Options whose onConnection sends a file, and what it sent. */
function sending() {
  const sent: grpcfd.SentFd[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => {
    const file = fileWith('on the connection');
    sent.push(connection.sendFd(file));
    closeSync(file);
  };
  return { sent, options: { onConnection } };
}

function ready(client: TestClient): Promise<void> {
  return new Promise((resolve, reject) => {
    client.grpc.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve()));
  });
}

for (const security of SECURITIES) {
  for (const kind of KINDS) {
    for (const credentials of ['no credentials', 'a token', 'callCredentials()'] as const) {
      test(`${security}, ${kind}: the first call, with ${credentials}, can name what its connection sent before`, async () => {
        const { address } = await serve(reading, { security });
        const { sent, options } = sending();
        const client = await dial(address, { security, options });
        await ready(client);
        const callOptions: grpc.CallOptions = {};
        if (credentials === 'callCredentials()') {
          const fds = grpcfd.callCredentials();
          defer(() => fds.close());
          callOptions.credentials = fds;
        }
        if (credentials === 'a token') callOptions.credentials = token();
        const replies = await converse(client, kind, [{ file: sent[0]?.ref }], callOptions);
        assert.deepEqual(replies, [{ content: 'on the connection' }]);
      });
    }
  }
}

function token(): grpc.CallCredentials {
  return grpc.credentials.createFromMetadataGenerator((_options, callback) => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', 'token');
    callback(null, metadata);
  });
}

test('a call of a channel with a token has both, and its metadata is that of its user', async () => {
  const seen: unknown[] = [];
  const handlers: TestHandlers = {
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      seen.push(call.metadata.get('authorization'), call.metadata.get('grpcfd-fds'));
      return { content: contentOf(await fds.recvFd(String(call.request['file']))) };
    }),
  };
  const { address } = await serve(handlers);
  const { sent, options } = sending();
  const credentials = grpcfd.channelCredentials(undefined, options).compose(token());
  const client = new TestClient(address, credentials);
  await ready(client);
  assert.deepEqual(await client.unary({ file: sent[0]?.ref }), { content: 'on the connection' });
  assert.deepEqual(seen, [['token'], []]);
});

/** A client of a server that refuses all calls, with their metadata. `answer` gives the metadata of each response. */
async function refusingServer(answer: (metadata: string) => string | undefined) {
  const seen: (string | undefined)[] = [];
  const server = http2.createServer();
  server.on('stream', (stream, headers) => {
    const metadata = headers['grpcfd-fds'] as string | undefined;
    seen.push(metadata);
    const reply = metadata === undefined ? undefined : answer(metadata);
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', ...(reply && { 'grpcfd-fds': reply }) },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '12' }));
    stream.end();
  });
  const address = freshAddress();
  server.listen(address.slice('unix:'.length));
  await once(server, 'listening');
  defer(() => server.close());
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const client = await dial(address, { options: { onConnection } });
  await ready(client);
  const call = (options?: grpc.CallOptions) =>
    assert.rejects(client.unary({}, options), { code: grpc.status.UNIMPLEMENTED });
  return { seen, call, connection: connections[0] as grpcfd.FdConnection };
}

test('a call without credentials tells nothing, unless something was sent on its connection', async () => {
  const { seen, call, connection } = await refusingServer(() => undefined);
  await call();
  connection.sendFd(0);
  await call();
  await call();
  const told = `${connection.id}!`;
  assert.deepEqual(seen, [undefined, told, told]);
});

for (const [what, answer] of [
  ['knows the connection', (metadata: string) => metadata],
  ['does not understand references', () => undefined],
] as const) {
  test(`a call without credentials tells nothing any more when a response has shown that the server ${what}`, async () => {
    const { seen, call, connection } = await refusingServer(answer);
    const before = connection.sendFd(0);
    assert.notEqual(before.ref, before.url);
    using fds = grpcfd.callCredentials();
    await call(fds.options());
    await call();
    assert.deepEqual(seen, [connection.id, undefined]);
    const after = connection.sendFd(0);
    assert.equal(after.ref === after.url, what === 'does not understand references');
  });
}

test('a reference to what was sent on another connection names nothing', async () => {
  const servers = await Promise.all([serve(reading), serve(reading)]);
  const ends = await Promise.all(
    servers.map(async ({ address }) => {
      const { sent, options } = sending();
      const client = await dial(address, { options });
      await ready(client);
      return { sent, client };
    }),
  );
  const [one, other] = ends;
  assert.ok(one && other);
  const failed = other.client.unary({ requests: [{ file: one.sent[0]?.ref }] });
  await assert.rejects(failed, { details: /names a descriptor of another connection or call/ });
});
