import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer, connect as plainConnect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { connect, FdListener, type FdSocket, type ListenOptions, listen } from 'grpcfd/socket';
import { close, closeAll, native } from '#src/native/binding.js';
import { defer, descriptorTable, trackDescriptors } from '../support/fd-table.js';
import { fullListener } from '../support/full-listener.js';
import { contentOf, fileWith, temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

/** A listener that sends back the bytes and descriptors that it receives. */
async function echo(options: ListenOptions): Promise<FdListener> {
  const listener = await listen(options, (socket) => {
    defer(() => socket.destroy());
    socket.on('fds', (fds) => {
      for (const fd of fds) socket.sendFd(fd);
      closeAll(fds);
    });
    socket.pipe(socket);
  });
  defer(() => listener.close());
  return listener;
}

async function connected(...args: Parameters<typeof connect>): Promise<FdSocket> {
  const socket = await connect(...args);
  defer(() => socket.destroy());
  return socket;
}

for (const kind of ['path', 'abstract name'] as const) {
  test(`Bytes and descriptors travel in both directions over a ${kind}`, async () => {
    const path = kind === 'path' ? join(temporaryDirectory(), 's') : `\0grpcfd-echo-${process.pid}`;
    const listener = await echo({ path });
    assert.equal(listener.address, path);
    for (const address of [path, { path }]) {
      const client = await connected(address);
      const returned: number[] = [];
      client.on('fds', (fds) => returned.push(...fds));
      const file = fileWith('both ways');
      client.sendFd(file);
      close(file);
      client.end('ping');
      assert.equal(await text(client), 'ping');
      assert.deepEqual(returned.map(contentOf), ['both ways']);
      assert.equal(client.peer.pid, process.pid);
    }
  });
}

test('The socket file has the requested mode, and is removed with the listener', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  {
    await using listener = await listen({ path, mode: 0o600 });
    assert.ok(listener instanceof FdListener);
    assert.deepEqual(readdirSync(directory), ['s']);
  }
  assert.deepEqual(readdirSync(directory), []);
});

test('Closing a listener emits close, leaves its connections open, and may be repeated', async () => {
  const path = join(temporaryDirectory(), 's');
  const listener = await echo({ path });
  const client = await connected(path);
  client.write('a');
  await once(client, 'data');
  let closes = 0;
  listener.on('close', () => closes++);
  await listener.close();
  await listener.close();
  assert.equal(closes, 1);
  client.end('b');
  assert.equal(await text(client), 'b');
  await assert.rejects(connect(path), { code: 'ENOENT', syscall: 'connect' });
});

test('A connection is closed when the listener has no listener for the connection event', async () => {
  const path = join(temporaryDirectory(), 's');
  const listener = await listen({ path });
  defer(() => listener.close());
  const client = await connected(path);
  assert.equal(await text(client), '');
});

test('listen() rejects for an address in use', async () => {
  const path = join(temporaryDirectory(), 's');
  await echo({ path });
  await assert.rejects(listen({ path }), { code: 'EADDRINUSE' });
});

test('a failed connect says what and where', async () => {
  const path = join(temporaryDirectory(), 's');
  await assert.rejects(connect(path), {
    code: 'ENOENT',
    syscall: 'connect',
    address: path,
    message: `ENOENT: no such file or directory, connect ${path}`,
  });
  close(native.bindUnix(Buffer.from(path)));
  await assert.rejects(connect(path), { code: 'ECONNREFUSED' });
  await assert.rejects(connect('\0grpcfd-nobody'), { message: /ECONNREFUSED: .* @grpcfd-nobody$/ });
  for (const address of ['', '\0', 'a\0b']) {
    await assert.rejects(connect(address), { code: 'ERR_INVALID_ARG_VALUE' });
  }
});

test('connect() waits while the backlog of the listener is full', async () => {
  const path = join(temporaryDirectory(), 's');
  const { accept } = fullListener(path);
  let done = false;
  const connecting = connected(path).then((socket) => {
    done = true;
    return socket;
  });
  await new Promise(setImmediate);
  assert.equal(done, false);
  accept();
  await connecting;
});

test('connect() stops waiting for a full backlog when its signal aborts', async () => {
  const path = join(temporaryDirectory(), 's');
  fullListener(path);
  const controller = new AbortController();
  const connecting = connect(path, { signal: controller.signal });
  setImmediate(() => controller.abort(new Error('changed my mind')));
  await assert.rejects(connecting, { message: 'changed my mind' });
  await assert.rejects(connect(path, { signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('Listeners and sockets work with node:net at the other end', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  await echo({ path });
  const client = plainConnect(path);
  client.end('plain client');
  assert.equal(await text(client), 'plain client');

  const server = createServer((socket) => socket.pipe(socket)).listen(join(directory, 't'));
  defer(() => server.close());
  await once(server, 'listening');
  const socket = await connected(join(directory, 't'));
  const sent = socket.sendFd(0);
  socket.end('plain server');
  assert.equal(await text(socket), 'plain server');
  await sent;
});

test('A listener accepts 100 connections at a time', async () => {
  const path = join(temporaryDirectory(), 's');
  await echo({ path });
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const client = await connected(path);
      client.end(`client ${index}`);
      assert.equal(await text(client), `client ${index}`);
    }),
  );
});

test('A child process inherits no socket of this package', async () => {
  const path = join(temporaryDirectory(), 's');
  await echo({ path });
  const client = await connected(path);
  client.write('x');
  await once(client, 'data');
  const before = descriptorTable();
  const listing = ['-c', 'for fd in /proc/self/fd/*; do readlink $fd; done'];
  const { stdout } = spawnSync('sh', listing, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  assert.notEqual(stdout, '');
  const ours = [...before.values()].filter((target) => target.startsWith('socket:'));
  assert.ok(ours.length >= 3);
  for (const target of ours) assert.ok(!stdout.includes(target), stdout);
});
