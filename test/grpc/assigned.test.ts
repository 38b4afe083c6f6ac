/** What a server tells of the descriptors that it has sent in a call, and when the client closes those that nobody received. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Http2Server } from 'node:http2';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { addResponseHeader } from '#src/grpc/internals/response-header.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { conversation, converse } from '../support/kinds.js';
import { pipeTo } from '../support/pipe.js';
import {
  dial,
  type Message,
  SECURITIES,
  type Security,
  serve,
  type TestHandlers,
} from '../support/service.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

const SOON_MS = 10_000;

/** A server, and a client of which other credentials have a call as long as the test runs. So no descriptor is closed for want of users. */
async function setUp(handlers: TestHandlers, security: Security = 'plaintext') {
  const { address } = await serve(
    {
      ...handlers,
      clientStream: (call, callback) => {
        call.resume();
        call.on('end', () => callback(null, {}));
      },
    },
    { security },
  );
  const connections: grpcfd.FdConnection[] = [];
  const client = await dial(address, {
    security,
    options: { onConnection: (connection) => connections.push(connection) },
  });
  const others = grpcfd.callCredentials();
  const running = client.clientStream(others.options());
  defer(async () => {
    running.call.end();
    await running.reply;
    others.close();
  });
  const held = () => connections[0]?.stats().heldFds;
  return { client, held };
}

/** A handler's end of a pipe, and when all of its descriptors have been closed. */
class Pipes {
  readonly ends: (() => Promise<string>)[] = [];

  send(fds: grpcfd.FdTransceiver): string {
    const { given, end } = pipeTo((into) => fds.sendFd(into).ref);
    this.ends.push(end);
    return given;
  }

  async closed(): Promise<void> {
    const ends = Promise.all(this.ends.map((end) => end()));
    await settledWithin(SOON_MS, 'all are closed', ends);
  }
}

for (const security of SECURITIES) {
  for (const kind of ['unary', 'serverStream', 'bidi'] as const) {
    test(`${security}, ${kind}: what nobody received is closed with the credentials of its call, while others have calls`, async () => {
      const pipes = new Pipes();
      const { client, held } = await setUp(
        conversation(async (_request, fds) => ({ file: pipes.send(fds) })),
        security,
      );
      const first = grpcfd.callCredentials();
      const second = grpcfd.callCredentials();
      // In a stream, the second reply leaves after the headers of the response.
      await converse(client, kind, [{}, {}, {}], first.options());
      const replies = await converse(client, kind, [{}, {}, {}], second.options());
      assert.equal(held(), 6);
      first.close();
      assert.equal(held(), 3);
      await using file = await second.recvFile(String(replies[2]?.['file']));
      assert.equal(held(), 2);
      second.close();
      assert.equal(held(), 0);
      assert.equal(file.kind, 'pipe');
      await file.close();
      await pipes.closed();
    });
  }
}

for (const how of ['used for a next call', 'collected'] as const) {
  test(`what nobody received is closed when the credentials of its call are ${how}`, async () => {
    const pipes = new Pipes();
    const { client, held } = await setUp(conversation(async (_request, fds) => ({ file: pipes.send(fds) })));
    const own: { fds: grpcfd.FdCallCredentials | undefined } = { fds: grpcfd.callCredentials() };
    await client.unary({ requests: [{}] }, own.fds?.options());
    assert.equal(held(), 1);
    if (how === 'used for a next call') {
      await client.unary({ requests: [] }, own.fds?.options());
      assert.equal(held(), 0);
      own.fds?.close();
    } else {
      own.fds = undefined;
      await within(SOON_MS, 'closed', () => {
        globalThis.gc?.();
        return held() === 0;
      });
    }
    await pipes.closed();
  });
}

test('what came for a call with two credentials is closed when both are done', async () => {
  const pipes = new Pipes();
  const { client, held } = await setUp(conversation(async (_request, fds) => ({ file: pipes.send(fds) })));
  const one = grpcfd.callCredentials();
  const other = grpcfd.callCredentials();
  const [reply] = await converse(client, 'unary', [{}], one.options(other.options()));
  one.close();
  assert.equal(held(), 1);
  await using kept = await other.recvFile(String(reply?.['file']), { keep: true });
  await kept.close();
  other.close();
  assert.equal(held(), 0);
  await pipes.closed();
});

test('what came with an error is closed with the credentials of its call', async () => {
  const pipes = new Pipes();
  const { client, held } = await setUp({
    unary: grpcfd.handler((_call, fds) => {
      pipes.send(fds);
      throw new Error('no');
    }),
  });
  const fds = grpcfd.callCredentials();
  await assert.rejects(client.unary({}, fds.options()));
  assert.equal(held(), 1);
  fds.close();
  assert.equal(held(), 0);
  await pipes.closed();
});

test('credentials that are closed while their call runs have closed what comes until its end', async () => {
  const pipes = new Pipes();
  const { client, held } = await setUp(conversation(async (_request, fds) => ({ file: pipes.send(fds) })));
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options());
  call.write({});
  await once(call, 'data');
  fds.close();
  assert.equal(held(), 0);
  call.write({});
  await once(call, 'data');
  assert.equal(held(), 1);
  call.end();
  await once(call.resume(), 'end');
  assert.equal(held(), 0);
  await pipes.closed();
});

test('a call that is cancelled tells what it sent before its headers, and of the rest nothing depends on it', async () => {
  const pipes = new Pipes();
  const { address } = await serve(conversation(async (_request, fds) => ({ file: pipes.send(fds) })));
  const connections: grpcfd.FdConnection[] = [];
  const client = await dial(address, { options: { onConnection: (each) => connections.push(each) } });
  const held = () => connections[0]?.stats().heldFds;
  const others = grpcfd.callCredentials();
  const running = client.bidi(others.options());
  running.on('error', () => {});
  defer(() => running.cancel());
  running.write({});
  await once(running, 'data');
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options());
  call.on('error', () => {});
  for (let message = 0; message < 2; message++) {
    call.write({});
    await once(call, 'data');
  }
  assert.equal(held(), 3);
  const ended = new Promise((resolve) => call.once('status', resolve));
  call.cancel();
  await ended;
  fds.close();
  assert.equal(held(), 2, 'the second one is not known to be of that call');
  running.end();
  await once(running.resume(), 'end');
  others.close();
  assert.equal(held(), 0);
  await pipes.closed();
});

test('a call that sends more ranges than are told leaves the others to the end of all calls', async () => {
  const { client, held } = await setUp({
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      for await (const _ of call) {
        fds.sendFd(0);
        call.write({});
      }
    }),
  });
  const [one, other] = [grpcfd.callCredentials(), grpcfd.callCredentials()];
  const calls = [client.bidi(one.options()), client.bidi(other.options())];
  // By turns, so that no two sequence numbers of one call follow each other.
  for (let message = 0; message < 100; message++) {
    for (const call of calls) {
      call.write({});
      await once(call, 'data');
    }
  }
  const trailers: grpc.Metadata[] = [];
  for (const call of calls) {
    call.on('status', ({ metadata }: grpc.StatusObject) => trailers.push(metadata));
    call.end();
    await once(call.resume(), 'end');
  }
  assert.equal(held(), 200);
  one.close();
  assert.equal(held(), 200 - 64 - 1, 'the first one stands in the headers');
  other.close();
  assert.equal(held(), 200 - 2 * (64 + 1));
  assert.deepEqual(
    trailers.map((each) => each.get('grpcfd-fds')),
    [[], []],
  );
});

const LIES = {
  'more than ever came': ';1-999999999999999',
  'nothing that is a number': ';one',
  'a range that ends before it begins': ';9-1',
  'many ranges': ';1'.repeat(1000),
};

for (const [what, ranges] of Object.entries(LIES)) {
  test(`a server that tells of ${what} does no harm`, async () => {
    const pipes = new Pipes();
    const { server, address } = await serve(
      conversation(async (_request, fds) => ({ file: pipes.send(fds) })),
    );
    const connections: grpcfd.FdConnection[] = [];
    // The listener that comes first replaces what the package tells.
    const http2Servers = Reflect.get(server, 'http2Servers') as Map<Http2Server, unknown>;
    for (const each of http2Servers.keys()) {
      each.prependListener('stream', (stream) => {
        addResponseHeader(stream, 'grpcfd-fds', () => `${connections[0]?.id}${ranges}`);
      });
    }
    const client = await dial(address, {
      options: { onConnection: (connection) => connections.push(connection) },
    });
    const fds = grpcfd.callCredentials();
    const [reply] = await converse(client, 'unary', [{}], fds.options());
    await using file = await fds.recvFile(String(reply?.['file']));
    await converse(client, 'unary', [{}], fds.options());
    fds.close();
    await file.close();
    assert.equal(connections[0]?.stats().heldFds, 0);
    await pipes.closed();
  });
}
