import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { connect } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { bind, dial, freshAddress, shutDown, TestClient, testService } from '../support/service.js';
import { contentOf, fileWith, temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

function newServer(options?: grpc.ServerOptions): grpcfd.Server {
  const server = new grpcfd.Server(options);
  server.addService(testService, {
    unary: grpcfd.handler(async (call, fds) => {
      const { file } = call.request;
      return file === undefined ? {} : { content: contentOf(await fds.recvFd(file)) };
    }),
  });
  return server;
}

async function assertCarriesDescriptors(address: string): Promise<void> {
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const file = fileWith(address);
  const { url } = fds.sendFd(file);
  native.close(file);
  assert.deepEqual(await client.unary({ file: url }, fds.options()), { content: address });
  client.grpc.close();
}

async function bindError(server: grpc.Server, address: string, credentials = grpcfd.serverCredentials()) {
  return (await failure(bind(server, address, credentials))) as Error;
}

const ADDRESSES: Record<string, (path: string) => string> = {
  'unix:relative': (path) => `unix:${relative(process.cwd(), path)}`,
  'unix:/absolute': (path) => `unix:${path}`,
  'unix:///absolute': (path) => `unix://${path}`,
  'unix-abstract:name': () => `unix-abstract:grpcfd-test-${process.pid}`,
};

for (const [form, addressOf] of Object.entries(ADDRESSES)) {
  test(`A server binds ${form}, and a client dials it`, async () => {
    const path = join(temporaryDirectory(), 's.sock');
    const address = addressOf(path);
    const server = newServer();
    await bind(server, address, grpcfd.serverCredentials());
    await assertCarriesDescriptors(address);
    assert.equal(existsSync(path), form.startsWith('unix:'));
    await shutDown(server);
    assert.equal(existsSync(path), false);
    assert.ok(!readFileSync('/proc/net/unix', 'utf8').includes(`@grpcfd-test-${process.pid}`));
  });
}

test('An abstract name is used exactly as given, so that other programs can dial it and cannot bind it', async () => {
  const name = `grpcfd-exact-${process.pid}`;
  const server = newServer();
  await bind(server, `unix-abstract:${name}`, grpcfd.serverCredentials());
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  assert.equal(lines.filter((line) => line.endsWith(` @${name}`)).length, 1);
  const socket = await connect(`\0${name}`);
  socket.destroy();
  await shutDown(server);
});

test('Options of the socket file are refused for an abstract name, which everybody could dial otherwise', async () => {
  for (const [name, value] of Object.entries({ mode: 0o600, uid: 0, gid: 0, unlinkOnClose: true })) {
    const credentials = grpcfd.serverCredentials(undefined, { [name]: value });
    const error = await bindError(newServer(), `unix-abstract:grpcfd-options-${process.pid}`, credentials);
    assert.match(error.message, new RegExp(`${name} cannot be set for an abstract name, which has no file`));
  }
});

test('An abstract name can be dialled again after its server has restarted', async () => {
  const address = `unix-abstract:grpcfd-restart-${process.pid}`;
  for (let round = 0; round < 3; round++) {
    const server = newServer();
    await bind(server, address, grpcfd.serverCredentials());
    await assertCarriesDescriptors(address);
    await shutDown(server);
  }
});

test('A call to an abstract name without a server fails with UNAVAILABLE', async () => {
  const client = await dial(`unix-abstract:grpcfd-nobody-${process.pid}`);
  await assert.rejects(client.unary({}), { code: grpc.status.UNAVAILABLE, message: /ECONNREFUSED/ });
});

test('The server also serves TCP, and unix sockets with stock credentials', async () => {
  const server = newServer();
  const port = await bind(server, 'localhost:0', grpcfd.serverCredentials());
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  for (const target of [`localhost:${port}`, address]) {
    const client = new TestClient(target, grpc.credentials.createInsecure());
    assert.deepEqual(await client.unary({}), {});
    client.grpc.close();
  }
  await shutDown(server);
});

test('A server can bind several addresses, and refuses to bind one of them twice', async () => {
  const server = newServer();
  const addresses = [freshAddress(), freshAddress()];
  for (const address of [...addresses, ...addresses]) await bind(server, address, grpcfd.serverCredentials());
  const [first = ''] = addresses;
  const incompatible = await bindError(server, first, grpcfd.serverCredentials(undefined, { holdMs: 5 }));
  assert.match(incompatible.message, /already bound with incompatible credentials/);
  for (const address of addresses) await assertCarriesDescriptors(address);
  await shutDown(server);
});

test('Binding an address in use fails and does not disturb its owner', async () => {
  const address = freshAddress();
  const owner = newServer();
  await bind(owner, address, grpcfd.serverCredentials());
  const other = newServer();
  assert.match((await bindError(other, address)).message, /EADDRINUSE/);
  await shutDown(other);
  await assertCarriesDescriptors(address);
  await shutDown(owner);
});

test('Binding an invalid address fails with an error that gives the reason', async () => {
  const directory = temporaryDirectory();
  const server = newServer();
  assert.match((await bindError(server, `unix:${directory}/missing/s`)).message, /ENOENT/);
  assert.match((await bindError(server, `unix:${directory}`)).message, /EADDRINUSE/);
  assert.match(
    (await bindError(server, `unix:${directory}/${'x'.repeat(200)}`)).message,
    /ENAMETOOLONG|EINVAL/,
  );
  await shutDown(server);
});

test('Binding replaces a socket file on which no process listens', async () => {
  const path = join(temporaryDirectory(), 'stale');
  const fd = native.bindUnix(Buffer.from(path));
  native.close(fd);
  assert.ok(existsSync(path));
  const server = newServer();
  await bind(server, `unix:${path}`, grpcfd.serverCredentials());
  await assertCarriesDescriptors(`unix:${path}`);
  await shutDown(server);
});

test('Binding waits for the lock of the directory without blocking the event loop', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 's');
  native.close(native.bindUnix(Buffer.from(path)));
  const lock = openSync(directory, 'r');
  assert.ok(native.testing.tryLock(lock));
  const server = newServer();
  const bound = bind(server, `unix:${path}`, grpcfd.serverCredentials());
  await new Promise(setImmediate);
  closeSync(lock);
  await bound;
  await assertCarriesDescriptors(`unix:${path}`);
  await shutDown(server);
});

test('A server leaves its socket file with unlinkOnClose: false', async () => {
  const path = join(temporaryDirectory(), 's');
  const server = newServer();
  await bind(server, `unix:${path}`, grpcfd.serverCredentials(undefined, { unlinkOnClose: false }));
  await shutDown(server);
  assert.ok(lstatSync(path).isSocket());
});

test('This package cannot bind a path on which a stock server listens, and a stock server cannot bind a path of this package', async () => {
  const path = join(temporaryDirectory(), 'taken');
  const stock = createServer().listen(path);
  await once(stock, 'listening');
  const server = newServer();
  assert.match((await bindError(server, `unix:${path}`)).message, /EADDRINUSE/);
  stock.close();
  await once(stock, 'close');
  await shutDown(server);
});

test('The socket file has the requested mode', async () => {
  const directory = join(temporaryDirectory(), 'open');
  mkdirSync(directory);
  chmodSync(directory, 0o777);
  const server = newServer();
  await bind(server, `unix:${directory}/s`, grpcfd.serverCredentials(undefined, { mode: 0o640 }));
  assert.equal(statSync(`${directory}/s`).mode & 0o777, 0o640);
  await shutDown(server);
});

test('A stock grpc.Server refuses serverCredentials() with an error that says what to do', async () => {
  const server = new grpc.Server();
  for (const credentials of [
    grpcfd.serverCredentials(),
    grpc.experimental.createServerCredentialsWithInterceptors(grpcfd.serverCredentials(), []),
  ]) {
    const error = await bindError(server, freshAddress(), credentials);
    assert.equal((error as grpcfd.GrpcFdError).reason, 'ERR_GRPCFD_STOCK_SERVER');
    assert.match(error.message, /new grpcfd\.Server\(\).*grpcfd\/register/);
  }
  assert.throws(() => server.createConnectionInjector(grpcfd.serverCredentials()), {
    reason: 'ERR_GRPCFD_STOCK_SERVER',
  });
  server.forceShutdown();
});

test('Connections that are injected with serverCredentials() are served without descriptors', async () => {
  const server = new grpcfd.Server();
  server.addService(testService, {
    unary: (call: object, callback: grpc.sendUnaryData<unknown>) => {
      callback(null, { carries: grpcfd.tryFromCall(call) !== undefined });
    },
  });
  const injector = server.createConnectionInjector(grpcfd.serverCredentials());
  const path = join(temporaryDirectory(), 's');
  const listener = createServer((socket) => injector.injectConnection(socket));
  listener.listen(path);
  await once(listener, 'listening');
  const client = await dial(`unix:${path}`);
  assert.deepEqual(await client.unary({}), { carries: false });
  client.grpc.close();
  injector.destroy();
  listener.close();
  await once(listener, 'close');
  server.forceShutdown();
});

test('Descriptors of a call to a method that does not exist are closed when the call ends', async () => {
  const connections: grpcfd.FdConnection[] = [];
  const server = new grpcfd.Server();
  const address = freshAddress();
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  await bind(server, address, grpcfd.serverCredentials(undefined, { onConnection }));
  const client = await dial(address);
  for (let call = 0; call < 10; call++) {
    const fds = grpcfd.callCredentials();
    for (let fd = 0; fd < 3; fd++) fds.sendFd(fd);
    await assert.rejects(client.unary({}, fds.options()), { code: grpc.status.UNIMPLEMENTED });
  }
  const [connection] = connections;
  assert.equal(connection?.stats().receivedFds, 30);
  while ((connection?.stats().heldFds ?? 0) > 0) await new Promise(setImmediate);
  client.grpc.close();
  await shutDown(server);
});
