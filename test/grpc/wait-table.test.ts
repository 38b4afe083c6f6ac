/** The table "What settles a wait" of docs/architecture.md: each of its cells is tried. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import type { Connection } from '#src/grpc/connection.js';
import { native } from '#src/native/binding.js';
import { runFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { textOf } from '../support/page.js';
import { RETRY } from '../support/policies.js';
import {
  bind,
  dial,
  type Message,
  serve,
  TestClient,
  testService,
  withResolvers,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

const SOON_MS = 5_000;
const NEVER = 'inode://1/1';
const RECEIVERS = [
  'a receive in a handler',
  'a receive with call credentials',
  'a receive on a connection',
] as const;
type Receiver = (typeof RECEIVERS)[number];

interface Stage {
  readonly receiver: grpcfd.FdTransceiver;
  /** The receiver's end of the connection. */
  readonly connection: Connection;
  readonly call: grpc.ClientDuplexStream<Message, Message>;
  readonly fds: grpcfd.FdCallCredentials;
  /** Sends a file to the receiver, which has come when this resolves. `before` runs between. */
  send(file: number, before?: () => void): Promise<void>;
}

/** A bidi call that runs, and somebody who receives on its connection: its handler, its credentials, or the server's end. */
async function stage(
  who: Receiver,
  options: grpcfd.FdConnectionOptions = {},
  callOptions: grpc.CallOptions = {},
): Promise<Stage> {
  const began = withResolvers<[grpc.ServerDuplexStream<Message, Message>, grpcfd.FdServerCall]>();
  const ends: { server?: Connection; client?: Connection } = {};
  const onConnection = (connection: grpcfd.FdConnection) => {
    ends[connection.role] = connection as Connection;
  };
  const { address } = await serve(
    {
      bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
        began.resolve([call, fds]);
        for await (const _ of call) call.write({});
      }),
    },
    { options: { ...options, onConnection } },
  );
  const client = await dial(address, { options: { ...options, onConnection } });
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options(callOptions));
  call.on('error', () => {});
  call.resume();
  defer(() => {
    call.cancel();
    fds.close();
  });
  const [serverCall, handler] = await began.promise;
  const atServer = who !== 'a receive with call credentials';
  const connection = (atServer ? ends.server : ends.client) as Connection;
  const receivers = {
    'a receive in a handler': handler,
    'a receive with call credentials': fds,
    'a receive on a connection': connection,
  };
  const send = async (file: number, before = () => {}) => {
    const { receivedFds } = connection.stats();
    (atServer ? fds : handler).sendFd(file);
    before();
    (atServer ? call : serverCall).write({});
    await within(SOON_MS, 'it comes', () => connection.stats().receivedFds > receivedFds);
  };
  return { receiver: receivers[who], connection, call, fds, send };
}

function newFile(): { fd: number; url: string } {
  const fd = fileWith('content');
  defer(() => closeSync(fd));
  return { fd, url: grpcfd.fdToUrl(fd) };
}

/** How a receive ends: "resolves", or the reason without its prefix. */
function outcomeOf(receive: Promise<number>): Promise<string> {
  const outcome = receive.then(
    (fd) => {
      assert.equal(contentOf(fd), 'content');
      return 'resolves';
    },
    ({ reason }: grpcfd.GrpcFdError) => reason.slice('ERR_GRPCFD_'.length),
  );
  return settledWithin(SOON_MS, 'the receive settles', outcome);
}

async function isPending(connection: Connection): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(connection.stats().pendingReceives, 1);
}

const ended = (call: grpc.ClientDuplexStream<Message, Message>) =>
  new Promise((resolve) => call.once('status', resolve));

/** The ways in which a call ends: by itself where nothing is done. */
const ENDS: [end: (stage: Stage) => void, options?: () => grpc.CallOptions][] = [
  [({ call }) => call.end()],
  [({ call }) => call.cancel()],
  [() => {}, () => ({ deadline: Date.now() + 500 })],
];

type Scenario = (who: Receiver, t: TestContext) => Promise<string>;

const SCENARIOS: Record<string, Scenario> = {
  'the descriptor comes': async (who) => {
    const { receiver, send } = await stage(who);
    const { fd, url } = newFile();
    const outcome = outcomeOf(receiver.recvFd(url));
    await send(fd);
    return outcome;
  },
  'the descriptor comes and cannot be duplicated, or `recvFile` cannot look at it': async (who, t) => {
    const { receiver, connection, send } = await stage(who);
    const { fd, url } = newFile();
    const outcome = outcomeOf(receiver.recvFd(url));
    await send(fd, () =>
      t.mock.method(native, 'duplicate', () => {
        throw native.systemError(24, 'fcntl');
      }),
    );
    const failed = await outcome;
    t.mock.restoreAll();
    assert.equal(connection.stats().heldFds, 1);
    // fixtures/failing-syscalls.ts has the look that fails.
    return failed;
  },
  'the call ends, is cancelled, or meets its deadline': async (who) => {
    const outcomes = await Promise.all(
      ENDS.map(async ([end, options]) => {
        const set = await stage(who, { holdMs: 200 }, options?.());
        const outcome = outcomeOf(set.receiver.recvFd(NEVER));
        const status = ended(set.call);
        end(set);
        await status;
        if (who === 'a receive in a handler') return outcome;
        await isPending(set.connection);
        return who === 'a receive with call credentials' ? outcome : 'goes on';
      }),
    );
    assert.equal(new Set(outcomes).size, 1, String(outcomes));
    return String(outcomes[0]);
  },
  'the connection closes': async (who) => {
    const { receiver, connection } = await stage(who);
    const outcome = outcomeOf(receiver.recvFd(NEVER));
    connection.socket.destroy();
    return outcome;
  },
  '`close()` of the credentials': async (who) => {
    const { receiver, fds } = await stage(who);
    const outcome = outcomeOf(receiver.recvFd(NEVER));
    fds.close();
    return outcome;
  },
  '`signal` is aborted': async (who) => {
    const { receiver } = await stage(who);
    const limit = new AbortController();
    const outcome = outcomeOf(receiver.recvFd(NEVER, { signal: limit.signal }));
    limit.abort();
    const late = await outcomeOf(receiver.recvFd(NEVER, { signal: limit.signal }));
    assert.equal(late, await outcome);
    return late;
  },
  '`timeoutMs` pass': async (who) => outcomeOf((await stage(who)).receiver.recvFd(NEVER, { timeoutMs: 10 })),
  'descriptors were lost, now or before': async (who) => {
    const { receiver, connection } = await stage(who);
    const outcome = outcomeOf(receiver.recvFd(NEVER));
    // As when the kernel drops some: fixtures/full-table.ts has it do so.
    connection.inbox.lose();
    const late = await outcomeOf(receiver.recvFd(NEVER));
    assert.equal(late, await outcome);
    return late;
  },
  '`maxPendingReceives` wait already': async (who) => {
    const { receiver } = await stage(who, { maxPendingReceives: 1 });
    void receiver.recvFd(NEVER);
    return outcomeOf(receiver.recvFd('inode://1/2'));
  },
  'the call has no connection that carries descriptors': async (who) => {
    const inHandler = withResolvers<string>();
    const server = new grpcfd.Server();
    const unary = grpcfd.handler((_call, fds) => {
      void outcomeOf(fds.recvFd(NEVER)).then(inHandler.resolve);
      return {};
    });
    server.addService({ unary: testService.unary }, { unary });
    const port = await bind(server, 'localhost:0', grpcfd.serverCredentials());
    defer(() => server.forceShutdown());
    const client = new TestClient(`localhost:${port}`, grpcfd.channelCredentials());
    using fds = grpcfd.callCredentials();
    const outcome = outcomeOf(fds.recvFd(NEVER));
    await client.unary({}, fds.options());
    return who === 'a receive in a handler' ? inHandler.promise : outcome;
  },
  '`timeoutMs` is out of range': async (who) =>
    outcomeOf((await stage(who)).receiver.recvFd(NEVER, { timeoutMs: 0 })),
  'no call was started with the credentials': async () => {
    // The default is 150 s, on a fake clock.
    const { code, stderr } = await runFixture('fixtures/default-hold.js', import.meta.url);
    assert.equal(code, 0, stderr);
    return 'HOLD_EXPIRED';
  },
};

/** The cells that are not empty, as they stand in the document: what a receive ends with. */
function cells(): [event: string, who: Receiver, cell: string][] {
  const [, section = ''] = textOf('docs/architecture.md').split('## What settles a wait');
  const rows = section
    .split('\n## ')[0]
    ?.split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const [head, , ...events] = rows ?? [];
  assert.deepEqual(head, ['event', ...RECEIVERS]);
  return events.flatMap(([event = '', ...row]) =>
    RECEIVERS.map((who, index) => [event, who, row[index] ?? ''] as [string, Receiver, string]),
  );
}

const table = cells();

for (const [event, who, cell] of table.filter(([, , cell]) => cell !== '')) {
  test(`${event}: ${who} ${cell}`, async (t) => {
    const scenario = SCENARIOS[event];
    assert.ok(scenario, 'there is a test of it');
    const outcome = await scenario(who, t);
    // Where a cell tells of several, the first or the last one is what a plain case ends with.
    assert.ok(
      cell.includes(outcome === 'resolves' || outcome === 'goes on' ? outcome : `\`${outcome}\``),
      outcome,
    );
  });
}

test('the table has a row for each event, and no other', () => {
  assert.deepEqual([...new Set(table.map(([event]) => event))].sort(), Object.keys(SCENARIOS).sort());
});

test('the connection closes: a receive with call credentials goes on while a call runs that may get another attempt', async () => {
  const { fd, url } = newFile();
  const serverEnds: Connection[] = [];
  let attempts = 0;
  const { address } = await serve(
    {
      unary: grpcfd.handler((_call, fds) => {
        attempts++;
        if (attempts === 1) serverEnds[0]?.socket.destroy();
        else fds.sendFd(fd);
        return {};
      }),
    },
    { options: { onConnection: (connection) => void serverEnds.push(connection as Connection) } },
  );
  const client = await dial(address, { clientOptions: RETRY });
  using fds = grpcfd.callCredentials();
  const outcome = outcomeOf(fds.recvFd(url));
  await client.unary({}, fds.options());
  assert.equal(await outcome, 'resolves');
  assert.deepEqual([attempts, serverEnds.length], [2, 2]);
});
