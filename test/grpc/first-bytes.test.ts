import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, SECURITIES, serve, withResolvers } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

function newFile(content: string): number {
  const fd = fileWith(content);
  defer(() => closeSync(fd));
  return fd;
}

/** Options whose onConnection sends these files, and the connection that onConnection received. */
function sendingFirst(fds: readonly number[]) {
  const { promise, resolve } = withResolvers<{ connection: grpcfd.FdConnection; sent: grpcfd.SentFd[] }>();
  const onConnection = (connection: grpcfd.FdConnection) => {
    resolve({ connection, sent: fds.map((fd) => connection.sendFd(fd)) });
  };
  return { made: promise, options: { onConnection } };
}

const receiving = {
  unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
    const contents: string[] = [];
    for (const file of call.request['files'] as string[]) contents.push(contentOf(await fds.recvFd(file)));
    return { contents };
  }),
};

for (const security of SECURITIES) {
  for (const count of [1, 65, 200]) {
    test(`${security}: ${count} files from both ends ride on the first bytes of a connection`, async () => {
      const contents = Array.from({ length: count }, (_, index) => `file ${index}`);
      const client = sendingFirst(contents.map(newFile));
      const server = sendingFirst(contents.map(newFile));
      const { address } = await serve(receiving, { security, options: server.options });
      const stub = await dial(address, { security, options: client.options });
      // A next call with the first one's credentials would let go of what came with that: it has others.
      const [fds, later] = [grpcfd.callCredentials(), grpcfd.callCredentials()];
      // The files are known by their names when the call is made: the connection is there as soon as a call has run.
      await stub.unary({ files: [] }, fds.options());
      const { connection: clientConnection, sent: fromClient } = await client.made;
      const { connection: serverConnection, sent: fromServer } = await server.made;
      assert.equal(clientConnection.stats().receivedFds, count);
      assert.equal(serverConnection.stats().receivedFds, count);
      const urls = fromClient.map(({ url }) => url);
      assert.deepEqual(await stub.unary({ files: urls }, later.options()), { contents });
      for (const [index, { url }] of fromServer.entries()) {
        assert.equal(contentOf(await fds.recvFd(url)), contents[index]);
        assert.equal(contentOf(await clientConnection.recvFd(url)), contents[index]);
        assert.equal(contentOf(await serverConnection.recvFd(urls[index] ?? '')), contents[index]);
      }
      assert.deepEqual(await stub.unary({ files: fromClient.map(({ ref }) => ref) }, later.options()), {
        contents,
      });
      for (const url of urls) {
        await assert.rejects(serverConnection.recvFd(url), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
      }
      await Promise.all([...fromClient, ...fromServer].map(({ sent }) => sent));
      fds.close();
      later.close();
    });
  }

  test(`${security}: a receive that began before the first byte gets the descriptor`, async () => {
    const file = newFile('expected');
    const received = withResolvers<number>();
    const onConnection = (connection: grpcfd.FdConnection) => {
      connection.recvFd(grpcfd.fdToUrl(file)).then(received.resolve, received.reject);
    };
    const { address } = await serve(receiving, { security, options: { onConnection } });
    const stub = await dial(address, { security, options: sendingFirst([file]).options });
    await stub.unary({ files: [] });
    assert.equal(contentOf(await received.promise), 'expected');
  });

  test(`${security}: onConnection is called once for each connection of a client, with the process of the peer`, async () => {
    const seen: string[] = [];
    const onConnection = ({ role, peer, id }: grpcfd.FdConnection) => {
      assert.match(id, /^[A-Za-z0-9_-]+$/);
      seen.push(`${role} ${peer?.pid} ${peer?.uid}`);
    };
    const { address } = await serve(receiving, { security, options: { onConnection } });
    const stub = await dial(address, { security, options: { onConnection } });
    for (let calls = 0; calls < 3; calls++) await stub.unary({ files: [] });
    const who = `${process.pid} ${process.getuid?.()}`;
    assert.deepEqual(seen.sort(), [`client ${who}`, `server ${who}`]);
  });
}

/** An onConnection that sends a file, begins to receive one, and throws, for the first connection only. */
function throwingOnce() {
  const pending = withResolvers<{ received: Promise<number>; sent: Promise<void>; closed: Promise<void> }>();
  let thrown = false;
  const onConnection = (connection: grpcfd.FdConnection) => {
    if (thrown) return;
    thrown = true;
    const file = newFile('not sent');
    const { sent } = connection.sendFd(file);
    pending.resolve({ received: connection.recvFd({ dev: 1n, ino: 1n }), sent, closed: connection.closed });
    throw new Error('this peer is not welcome');
  };
  return { began: pending.promise, options: { onConnection } };
}

async function assertAllSettled(began: ReturnType<typeof throwingOnce>['began']): Promise<void> {
  const { received, sent, closed } = await began;
  await closed;
  await assert.rejects(received, { reason: 'ERR_GRPCFD_CONNECTION_CLOSED' });
  await assert.rejects(sent, { name: 'GrpcFdError' });
}

test('An onConnection that throws at the client fails the connection with its error, and nothing leaks', async () => {
  const { began, options } = throwingOnce();
  const { address } = await serve(receiving);
  const stub = await dial(address, { options });
  await assert.rejects(stub.unary({ files: [] }), { code: 14, message: /this peer is not welcome/ });
  await assertAllSettled(began);
});

test('An onConnection that throws at the server closes that connection with a warning, and the next connection works', async () => {
  const { began, options } = throwingOnce();
  const { address } = await serve(receiving, { options });
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  const stub = await dial(address, { clientOptions: { 'grpc.initial_reconnect_backoff_ms': 100 } });
  const fds = grpcfd.callCredentials();
  const { ref } = fds.sendFd(newFile('on the second connection'));
  const reply = await new Promise<Message>((resolve, reject) => {
    const deadline = Date.now() + 10_000;
    stub.grpc.waitForReady(deadline, (error) => {
      if (error) reject(error);
      else resolve(stub.unary({ files: [ref] }, fds.options()));
    });
  });
  assert.deepEqual(reply, { contents: ['on the second connection'] });
  assert.match((await warned).message, /this peer is not welcome/);
  await assertAllSettled(began);
  fds.close();
});
