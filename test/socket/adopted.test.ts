/** Sockets that are open already: `listen({ fd })`, `connect({ fd })`, `socketPair()`, and what becomes of the socket file. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, unlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect, type FdListener, FdSocket, type ListenOptions, listen, socketPair } from 'grpcfd/socket';
import { close, native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { descriptorsOf } from '../support/socket-pair.js';
import { contentOf, fileWith, temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

async function listening(options: ListenOptions): Promise<FdListener> {
  const listener = await listen(options, (socket) => socket.resume().end(`from ${process.pid}`));
  defer(() => listener.close());
  return listener;
}

async function answerOf(path: string): Promise<string> {
  const socket = await connect(path);
  defer(() => socket.destroy());
  return text(socket);
}

/** A process that has `fd` as its descriptor 3. */
function startWithFd(fixture: string, fd: number, args: readonly string[] = []): ChildProcess {
  const path = fileURLToPath(new URL(`fixtures/${fixture}`, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ['pipe', 'pipe', 'inherit', fd],
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  });
  defer(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
  return child;
}

test('listen({ fd }) adopts a socket that listens, and tells its path', async () => {
  const path = join(temporaryDirectory(), 's');
  const first = await listening({ path, unlinkOnClose: false });
  const fd = native.duplicate(first.fd);
  await first.close();
  assert.equal(first.fd, -1);
  // It came before the second listener exists, and waits in the backlog.
  const waiting = answerOf(path);
  const second = await listening({ fd });
  assert.equal(second.address, path);
  assert.equal(second.fd, fd);
  assert.equal(await waiting, `from ${process.pid}`);
});

test('listen({ fd }) makes a bound socket listen, with a path or an abstract name', async () => {
  const short = join(temporaryDirectory(), 's');
  const longest = short.padEnd(108, 's');
  for (const path of [short, longest, `\0grpcfd-adopted-${process.pid}`]) {
    const listener = await listening({ fd: native.bindUnix(Buffer.from(path)) });
    assert.equal(listener.address, path);
    assert.equal(await answerOf(path), `from ${process.pid}`);
  }
});

test('The file of an adopted socket stays, unless unlinkOnClose is set; that of a path goes, unless it is false', async () => {
  const directory = temporaryDirectory();
  for (const [unlinkOnClose, stays] of [
    [undefined, true],
    [false, true],
    [true, false],
  ] as const) {
    const path = join(directory, `adopted-${unlinkOnClose}`);
    const fd = native.bindUnix(Buffer.from(path));
    await (await listening({ fd, unlinkOnClose })).close();
    assert.equal(existsSync(path), stays);
  }
  for (const unlinkOnClose of [undefined, true, false]) {
    const path = join(directory, `bound-${unlinkOnClose}`);
    await (await listening({ path, unlinkOnClose })).close();
    assert.equal(existsSync(path), unlinkOnClose === false);
  }
  const replaced = join(directory, 'replaced');
  const adopted = await listening({ fd: native.bindUnix(Buffer.from(replaced)), unlinkOnClose: true });
  unlinkSync(replaced);
  await listening({ path: replaced });
  await adopted.close();
  assert.ok(existsSync(replaced));
});

test('The file of another server that has the same relative path in another directory stays', async () => {
  const [theirs, ours] = [temporaryDirectory(), temporaryDirectory()];
  const start = process.cwd();
  defer(() => process.chdir(start));
  process.chdir(theirs);
  const adopted = native.bindUnix(Buffer.from('s'));
  process.chdir(ours);
  await listening({ path: 's' });
  await (await listening({ fd: adopted, unlinkOnClose: true })).close();
  assert.ok(existsSync(join(ours, 's')));

  const own = await listening({ fd: native.bindUnix(Buffer.from('own')), unlinkOnClose: true });
  await own.close();
  assert.equal(existsSync(join(ours, 'own')), false);
});

test('Another process serves a listening socket that it inherits', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  const old = await listening({ path, unlinkOnClose: false });
  const child = startWithFd('adopt-listener.js', old.fd);
  assert.ok(child.stdout);
  assert.equal(String((await once(child.stdout, 'data'))[0]), 'listening\n');
  await old.close();
  assert.deepEqual(readdirSync(directory), ['s']);
  assert.equal(await answerOf(path), `from ${child.pid}`);
});

test('What cannot listen is refused, and stays the caller’s', async () => {
  const [a, b] = native.socketPair();
  const datagram = native.testing.datagramSocket(Buffer.from(`\0grpcfd-datagram-${process.pid}`));
  const file = openSync('/dev/null', 'r');
  const tcp = createServer().listen(0);
  await once(tcp, 'listening');
  const path = join(temporaryDirectory(), 's');
  await listening({ path });
  const connected = native.connectUnix(Buffer.from(path));
  const { fd: tcpFd } = (tcp as unknown as { _handle: { fd: number } })._handle;
  for (const [fd, code] of [
    [a, 'EINVAL'],
    [connected, 'EINVAL'],
    [datagram, 'EPROTOTYPE'],
    [file, 'ENOTSOCK'],
    [tcpFd, 'EAFNOSUPPORT'],
    [1_000_000, 'EBADF'],
  ] as const) {
    await assert.rejects(listen({ fd }), { code });
  }
  for (const fd of [a, b, datagram, file, connected]) close(fd);
  tcp.close();
});

test('connect({ fd }) adopts a connected socket', async () => {
  const [a, b] = native.socketPair();
  const one = await connect({ fd: a });
  const two = await connect({ fd: b }, { highWaterMark: 10 });
  for (const socket of [one, two]) defer(() => socket.destroy());
  assert.equal(two.readableHighWaterMark, 10);
  const fds = descriptorsOf(two);
  const file = fileWith('adopted');
  one.sendFd(file);
  close(file);
  one.end('x');
  assert.equal(await text(two), 'x');
  assert.deepEqual(fds.splice(0).map(contentOf), ['adopted']);
});

test('What is not connected is refused by connect({ fd }), and stays the caller’s', async () => {
  const path = join(temporaryDirectory(), 's');
  const { fd: listener } = await listening({ path });
  const bound = native.bindUnix(Buffer.from(`\0grpcfd-bound-${process.pid}`));
  const file = openSync('/dev/null', 'r');
  for (const [fd, code] of [
    [listener, 'ENOTCONN'],
    [bound, 'ENOTCONN'],
    [file, 'ENOTSOCK'],
    [1_000_000, 'EBADF'],
  ] as const) {
    await assert.rejects(connect({ fd }), { code });
  }
  await assert.rejects(connect({ fd: bound }, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  close(bound);
  closeSync(file);
  assert.equal(await answerOf(path), `from ${process.pid}`);
});

test('socketPair() makes two connected sockets that carry descriptors both ways', async () => {
  const pair = socketPair({ highWaterMark: 20 });
  for (const socket of pair) {
    assert.ok(socket instanceof FdSocket);
    assert.equal(socket.readableHighWaterMark, 20);
    assert.equal(socket.peer.pid, process.pid);
    defer(() => socket.destroy());
  }
  for (const [from, to] of [pair, pair.toReversed()] as [FdSocket, FdSocket][]) {
    const fds = descriptorsOf(to);
    const file = fileWith('either way');
    from.writeWithFds('x', [file]);
    close(file);
    await once(to, 'data');
    assert.deepEqual(fds.splice(0).map(contentOf), ['either way']);
  }
  assert.throws(() => socketPair({ allowHalfOpen: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('One end of a pair goes to a child process, without an address', async () => {
  const [ours, theirs] = socketPair();
  defer(() => ours.destroy());
  const fd = theirs.release();
  const child = startWithFd('adopt-end.js', fd);
  close(fd);
  const fds = descriptorsOf(ours);
  const file = fileWith('for the child');
  ours.writeWithFds('ping', [file]);
  close(file);
  assert.equal(await text(ours), `pong from ${child.pid}: for the child`);
  assert.deepEqual(fds.splice(0).map(contentOf), ['from the child']);
});
