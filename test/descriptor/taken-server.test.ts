/** Listening sockets that were received, and the servers that were made of them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { describe, test } from 'node:test';
import * as tls from 'node:tls';
import { keepFileWhileServed } from '#src/descriptor/server-file.js';
import { native } from '#src/native/binding.js';
import { certificates } from '../support/certificates.js';
import { runFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  addressOf,
  connectTo,
  listening,
  numberOf,
  received,
  STREAM_FAMILIES,
  textOf,
} from '../support/sockets.js';
import { temporaryDirectory } from '../support/temporary.js';

/** `server` listens with the socket of a server that has been closed by then. */
async function takenInto<Server extends net.Server>(
  server: Server,
  family: (typeof STREAM_FAMILIES)[number] = 'ipv4',
): Promise<Server> {
  const first = await listening(family);
  const file = received(first);
  first.close();
  assert.equal(file.toServer({ server }), server);
  assert.deepEqual([server.listening, file.closed], [true, true]);
  defer(() => server.close());
  await once(server, 'listening');
  return server;
}

describe('A received listening socket', () => {
  trackDescriptors();

  for (const family of STREAM_FAMILIES) {
    test(`toServer() of ${family} accepts, and tells its address`, async () => {
      const first = await listening(family);
      const file = received(first);
      const server = file.toServer();
      defer(() => server.close());
      server.on('connection', (socket) => socket.end('hello'));
      assert.equal(file.closed, true);
      assert.deepEqual(server.address(), first.address());
      native.keepSocketFile(numberOf(first));
      first.close();
      const client = await connectTo(server);
      assert.equal(await textOf(client), 'hello');
    });
  }

  test('Servers of http, http2 and tls listen with it', async () => {
    const { server: pair } = await certificates();
    const web = await takenInto(http.createServer((_, response) => response.end('over http')));
    const { port } = web.address() as net.AddressInfo;
    const [response] = (await once(http.get({ port, host: '127.0.0.1', agent: false }), 'response')) as [
      http.IncomingMessage,
    ];
    assert.equal(await textOf(response), 'over http');

    const modern = await takenInto(http2.createServer((_, answer) => answer.end('over http2')));
    const session = http2.connect(`http://127.0.0.1:${(modern.address() as net.AddressInfo).port}`);
    assert.equal(await textOf(session.request()), 'over http2');
    session.destroy();

    const secure = await takenInto(tls.createServer(pair, (socket) => socket.end('over tls')));
    const client = tls.connect({ ...addressOf(secure), ca: pair.cert, servername: 'localhost' });
    defer(() => client.destroy());
    assert.equal(await textOf(client), 'over tls');
  });

  test('close() of the server leaves the socket file', async () => {
    const first = await listening();
    const server = received(first).toServer();
    server.close();
    assert.equal(existsSync(String(first.address())), true);
  });

  test('With unlinkOnClose it removes the file, unless the socket is still open somewhere', async () => {
    const first = await listening();
    const path = String(first.address());
    const [server, second] = [1, 2].map(() => received(first).toServer({ unlinkOnClose: true }));
    assert.ok(server && second);
    server.close();
    assert.equal(existsSync(path), true);
    // It would remove the file by itself.
    keepFileWhileServed(first);
    first.close();
    assert.equal(existsSync(path), true);
    second.close();
    assert.equal(existsSync(path), false);
  });

  test('A server of an abstract name has no file to remove', async () => {
    const first = net.createServer().listen('\0grpcfd taken');
    await once(first, 'listening');
    const server = received(first).toServer({ unlinkOnClose: true });
    defer(() => server.close());
    first.close();
    const { localAddress } = received(server).socketInfo();
    assert.equal(server.address(), localAddress?.address);
    // Node 20 pads the name.
    assert.match(String(server.address()), /^\0grpcfd taken\0*$/);
    const socket = await connectTo(server);
    socket.destroy();
  });

  for (const policy of ['rr', 'none']) {
    test(`A worker of node:cluster adopts its own, and not that of its primary process (policy ${policy})`, async () => {
      const { stdout, stderr, code } = await runFixture(
        './fixtures/cluster-taken.js',
        import.meta.url,
        [policy, temporaryDirectory()],
        {},
        30_000,
      );
      assert.deepEqual([code, stderr], [0, '']);
      assert.equal(stdout, 'the worker, over unix\nthe worker, over TCP\n');
    });
  }
});
