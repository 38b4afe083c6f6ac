import assert from 'node:assert/strict';
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { listen } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { sharedCertificates } from '../support/certificates.js';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { withFreshNumber } from '../support/fresh-number.js';
import { keptOpen, listeningSocket } from '../support/listening.js';
import { bind, dial, SECURITIES, shutDown, stockServerCredentials, testService } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

const FIXTURE = fileURLToPath(new URL('./fixtures/inherited.js', import.meta.url));

function newServer(): grpcfd.Server {
  const server = new grpcfd.Server();
  server.addService(testService, { ...bothWays });
  return server;
}

for (const security of SECURITIES) {
  for (const form of ['path', 'abstract name']) {
    test(`${security}: an inherited socket that listens at a ${form} is served, and unbound like any other`, async () => {
      const path =
        form === 'path' ? join(temporaryDirectory(), 's.sock') : `\0grpcfd-inherited-${process.pid}`;
      const target = form === 'path' ? `unix:${path}` : `unix-abstract:${path.slice(1)}`;
      const fd = listeningSocket(path);
      const kept = keptOpen(fd);
      const server = newServer();
      const credentials = grpcfd.serverCredentials(await stockServerCredentials(security));
      assert.equal(await bind(server, `fd:${fd}`, credentials), 1);
      const client = await dial(target, { security });
      assert.match((await assertBothWays(client)).peer, new RegExp(`^unix:pid=${process.pid},`));
      // The same address with the same credentials is the same listener, as with any address.
      assert.equal(await bind(server, `fd:${fd}`, credentials), 1);

      const { GetServer, GetSocket } = grpc.getChannelzHandlers();
      const found = await ask(GetServer, { server_id: String(server.getChannelzRef().id) });
      const { listen_socket: listeners } = (found as { server: { listen_socket: { socket_id: string }[] } })
        .server;
      const socket = await ask(GetSocket, { socket_id: String(listeners[0]?.socket_id) });
      const { local } = (socket as { socket: { local: { uds_address: { filename: string } } } }).socket;
      assert.deepEqual([listeners.length, local.uds_address.filename], [1, path]);

      server.drain(`fd:${fd}`, 10_000);
      await idle(client.grpc);
      await assertBothWays(client);
      server.unbind(`fd:${fd}`);
      await idle(client.grpc);
      assert.equal(existsSync(path), form === 'path');
      assert.equal(native.isListening(kept), true);
      await shutDown(server);
    });
  }

  test(`${security}: a server that is started again takes over the calls that wait at its inherited socket`, async () => {
    const path = join(temporaryDirectory(), 's.sock');
    const listening = listeningSocket(path);
    defer(() => native.close(listening));
    const env = { ...process.env, ...(await sharedCertificates()), NODE_TEST_CONTEXT: undefined };
    const start = () => {
      const child = spawn(process.execPath, [FIXTURE, 'server', 'fd:3', security], {
        env,
        stdio: ['ignore', 'ignore', 'inherit', listening],
      });
      defer(() => end(child, 'SIGKILL'));
      return child;
    };
    const pids: unknown[] = [];
    const options = { 'grpc.initial_reconnect_backoff_ms': 1, 'grpc.max_reconnect_backoff_ms': 5 };
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
      // The call comes before the server: the kernel keeps its connection.
      const client = await dial(`unix:${path}`, {
        security,
        clientOptions: { ...options, 'grpc.use_local_subchannel_pool': 1 },
      });
      const reply = assertBothWays(client);
      const server = start();
      pids.push((await reply).pid);
      assert.equal(pids.at(-1), server.pid);
      client.grpc.close();
      await end(server, signal);
      assert.equal(existsSync(path), true);
    }
    assert.equal(new Set(pids).size, 3);
  });
}

function ask(handler: unknown, request: object): Promise<object> {
  return new Promise((resolve, reject) => {
    (handler as grpc.handleUnaryCall<object, object>)(
      { request } as grpc.ServerUnaryCall<object, object>,
      (error, value) => (error ? reject(error) : resolve(value as object)),
    );
  });
}

function idle(client: grpc.Client): Promise<void> {
  return new Promise((resolve, reject) => {
    client
      .getChannel()
      .watchConnectivityState(grpc.connectivityState.READY, Date.now() + 10_000, (error) =>
        error ? reject(error) : resolve(),
      );
  });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

test('What does not listen is refused, and stays its owner’s', async () => {
  const refuse = async (fd: number | string, wanted: RegExp, credentials = grpcfd.serverCredentials()) => {
    const error = (await failure(bind(newServer(), `fd:${fd}`, credentials))) as Error;
    assert.match(error.message, wanted);
  };
  const [a = -1, b = -1, read = -1, write = -1] = [...native.socketPair(), ...native.testing.pipe()].map(
    withFreshNumber,
  );
  const listening = listeningSocket(`\0grpcfd-refused-${process.pid}`);
  await refuse(a, /is a unix stream socket that does not listen/);
  await refuse(read, /is not a unix stream socket: ENOTSOCK/);
  await refuse('three', /fd:three is not an address/);
  await refuse('connect', /fd:connect is not an address/);
  await refuse(0, /is a standard stream/);
  await refuse('99999999999', /must be an integer from 0 to 2147483647/);
  await refuse(listening, /mode cannot be set/, grpcfd.serverCredentials(undefined, { mode: 0o600 }));
  await refuse(
    listening,
    /bindAsync\(\) of it takes grpcfd.serverCredentials/,
    grpc.ServerCredentials.createInsecure(),
  );
  const stock = (await failure(
    bind(new grpc.Server(), `fd:${listening}`, grpc.ServerCredentials.createInsecure()),
  )) as Error;
  assert.match(stock.message, /takes grpcfd.serverCredentials/);
  assert.equal(existsSync(`fd:${listening}`), false);
  for (const fd of [a, b, read, write, listening]) native.inode(fd);
  // A refusal does not use the number up.
  const server = newServer();
  await bind(server, `fd:${listening}`, grpcfd.serverCredentials());
  await shutDown(server);
  native.closeAll([a, b, read, write]);
});

test('Two listening sockets that are handed over one after the other are both served by one server', async () => {
  const server = newServer();
  for (const name of ['first', 'second']) {
    const fd = listeningSocket(`\0grpcfd-${name}-${process.pid}`);
    await bind(server, `fd:${fd}`, grpcfd.serverCredentials());
    const client = await dial(`unix-abstract:grpcfd-${name}-${process.pid}`);
    await assertBothWays(client);
    client.grpc.close();
  }
  await shutDown(server);
});

test('The socket of a listener is refused while the listener has it, and is served once it was released', async () => {
  const path = join(temporaryDirectory(), 's.sock');
  const listener = await listen({ path });
  const server = newServer();
  const error = (await failure(bind(newServer(), `fd:${listener.fd}`, grpcfd.serverCredentials()))) as Error;
  assert.match(error.message, /an object of this process uses/);
  const closed = once(listener, 'close');
  const fd = listener.release();
  await closed;
  assert.equal(listener.fd, -1);
  assert.throws(() => listener.release(), { code: 'ERR_INVALID_STATE' });
  await listener.close();
  await bind(server, `fd:${fd}`, grpcfd.serverCredentials());
  const client = await dial(`unix:${path}`);
  await assertBothWays(client);
  client.grpc.close();
  await shutDown(server);
  assert.ok(existsSync(path));
});

test('A number that was adopted is adopted again as a listener if the package has given it to the user since', async () => {
  const [first, second] = [1, 2].map((each) => listeningSocket(`\0grpcfd-again-${each}-${process.pid}`));
  const server = newServer();
  await bind(server, `fd:${first}`, grpcfd.serverCredentials());
  await shutDown(server);
  const made = [];
  while (made.at(-1) !== first) made.push(native.duplicate(second ?? -1));
  const file = new grpcfd.ReceivedFile(made.pop() ?? -1);
  const next = newServer();
  await bind(next, `fd:${file.release()}`, grpcfd.serverCredentials());
  const client = await dial(`unix-abstract:grpcfd-again-2-${process.pid}`);
  await assertBothWays(client);
  client.grpc.close();
  await shutDown(next);
  native.closeAll([second ?? -1, ...made]);
});

test('A number is adopted once, also when another socket that listens has it', async () => {
  const fd = listeningSocket(`\0grpcfd-once-${process.pid}`);
  const first = newServer();
  await bind(first, `fd:${fd}`, grpcfd.serverCredentials());
  await shutDown(first);
  const next = listeningSocket(`\0grpcfd-twice-${process.pid}`);
  const made = [next];
  while (made.at(-1) !== fd) made.push(native.duplicate(next));
  const error = (await failure(bind(newServer(), `fd:${fd}`, grpcfd.serverCredentials()))) as Error;
  assert.match(error.message, new RegExp(`fd:${fd} is used up`));
  assert.equal(native.isListening(fd), true);
  native.closeAll(made);
});

test('The IPC channel of a forked child is refused, as a target, an address and a connection, and goes on working', async () => {
  const child = fork(FIXTURE, ['ipc'], { env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  const [texts] = (await once(child, 'message')) as [string[]];
  assert.equal(texts.length, 3);
  for (const text of texts) assert.match(text, /the channel to the process that forked this one/);
  await once(child, 'exit');
});

test('A worker of a forked child is refused the IPC channel, too, which goes on working', async () => {
  const child = fork(FIXTURE, ['ipc-thread'], { env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  const [texts] = (await once(child, 'message')) as [string[]];
  for (const text of texts) assert.match(text, /the channel to the process that forked this one/);
  await once(child, 'exit');
});
