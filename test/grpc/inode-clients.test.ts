/** What a server holds of clients that name descriptors by URL, and of clients whose kind it does not know yet. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { RawClient } from '../references/raw-client.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { type Message, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

const GO = { 'user-agent': 'grpc-go/1.85.0' };

/** A server that replies with the content of the file that a request names, and a client by hand. */
async function setUp() {
  const connections: grpcfd.FdConnection[] = [];
  const { address } = await serve(
    {
      unary: grpcfd.handler(async ({ request }: grpc.ServerUnaryCall<Message, Message>, fds) =>
        request['file'] === undefined
          ? {}
          : { content: contentOf(await fds.recvFd(String(request['file']))) },
      ),
    },
    { options: { onConnection: (connection) => void connections.push(connection) } },
  );
  const client = await RawClient.connect(address);
  const stats = () => connections[0]?.stats();
  return { client, stats };
}

function file(content: string) {
  const fd = fileWith(content);
  defer(() => closeSync(fd));
  const url = grpcfd.fdToUrl(fd);
  return { fd, url, inode: url.slice('inode://'.length) };
}

test('a second descriptor of an inode takes nothing from the first call that names descriptors exactly', async () => {
  const { client } = await setUp();
  const { fd, inode } = file('content');
  // A descriptor leaves with the bytes that are written next, which may be those of another call.
  void client.socket.sendFd(fd);
  await client.unary({}, {});
  // The HEADERS of its own call bring the descriptor of a third call.
  void client.socket.sendFd(fd);
  const reply = await client.unary({ file: 'fd:a:0' }, { 'grpcfd-fds': `connection;a.0.1.${inode}` });
  assert.deepEqual(reply, { content: 'content' });
});

test('calls and receives do not prove that an earlier descriptor of a client of another library is dead', async () => {
  const { client, stats } = await setUp();
  const [early, other] = [file('early'), file('other')];
  void client.socket.sendFd(early.fd);
  for (let call = 0; call < 5; call++) {
    void client.socket.sendFd(other.fd);
    assert.deepEqual(await client.unary({ file: other.url }, GO), { content: 'other' });
  }
  assert.deepEqual(await client.unary({ file: early.url }, GO), { content: 'early' });
  assert.equal(stats()?.heldFds, 2);
});

test('of a file that a client of another library sends again and again, the newest descriptor is held', async () => {
  const { client, stats } = await setUp();
  const { fd, url } = file('again');
  for (let call = 0; call < 20; call++) {
    void client.socket.sendFd(fd);
    assert.deepEqual(await client.unary({ file: url }, GO), { content: 'again' });
  }
  assert.deepEqual([stats()?.heldFds, stats()?.supersededFds], [1, 19]);
});

test('a call of this package outweighs what an earlier call seemed to show', async () => {
  const { client, stats } = await setUp();
  const { fd, inode } = file('content');
  await client.unary({}, GO);
  await client.unary({}, { 'grpcfd-fds': 'connection' });
  for (let copy = 0; copy < 2; copy++) void client.socket.sendFd(fd);
  await client.unary({}, {});
  for (const sequence of [1, 2]) {
    const reply = await client.unary(
      { file: 'fd:a:0' },
      { 'grpcfd-fds': `connection;a.0.${sequence}.${inode}` },
    );
    assert.deepEqual(reply, { content: 'content' });
  }
  assert.equal(stats()?.supersededFds, 0);
});

test('a file that a client of this package sends in many calls without receiving is held once for each', async () => {
  const { client, stats } = await setUp();
  const { fd } = file('content');
  for (let call = 0; call < 5; call++) {
    void client.socket.sendFd(fd);
    await client.unary({}, { 'user-agent': 'mine grpc-node-js/1.14.7' });
  }
  assert.equal(stats()?.heldFds, 5);
});
