import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  afterClose,
  descriptorOf,
  hasHandle,
  isParsed,
  listenOn,
  stopReading,
} from '#src/internals/net-handle.js';
import { native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { connected, connectTo, listening, listenWith } from '../support/sockets.js';

/** More than the buffer of a socket. */
const LARGE = Buffer.alloc(200_000, 'x');

describe('The handle of a net.Socket and a net.Server', () => {
  trackDescriptors();

  test('It has a descriptor while the socket or server is open', async () => {
    const [client] = await connected();
    const fd = descriptorOf(client);
    assert.equal(fd !== undefined && native.describeSocket(fd).connected, true);
    client.destroy();
    for (const closed of [client, new net.Socket(), net.createServer()]) {
      assert.deepEqual([hasHandle(closed), descriptorOf(closed)], [false, undefined]);
    }
  });

  for (const family of ['unix', 'ipv4'] as const) {
    test(`pause() alone reads ahead, and after stopReading() everything stays in the kernel (${family})`, async () => {
      const [client, accepted] = await connected(family);
      client.write(LARGE);
      accepted.resume().pause();
      await delay(20);
      assert.ok(
        accepted.readableLength > 0,
        'Node stops at pause() now: stopReading() is not needed any more',
      );

      const [other, stopped] = await connected(family);
      stopped.resume();
      stopReading(stopped);
      other.write(LARGE);
      await delay(20);
      assert.deepEqual([stopped.bytesRead, stopped.readableLength], [0, 0]);
    });
  }

  test('A tick that was due before stopReading() does not read ahead, and resume() goes on', async () => {
    const [client, accepted] = await connected();
    client.write('first');
    accepted.resume();
    await once(accepted, 'data');
    stopReading(accepted);
    stopReading(accepted);
    client.end('second');
    await delay(20);
    assert.deepEqual([accepted.bytesRead, accepted.readableLength], [5, 0]);
    accepted.resume();
    const [chunk] = await once(accepted, 'data');
    assert.equal(String(chunk), 'second');
    await once(accepted, 'end');
  });

  test('listenOn() listens with a descriptor, which the server closes', async () => {
    const first = await listening();
    const second = net.createServer((socket) => socket.end('second'));
    const fd = native.duplicate(descriptorOf(first) ?? -1);
    listenOn(second, fd, 511, 'a name');
    assert.deepEqual([second.listening, second.address(), descriptorOf(second)], [true, 'a name', fd]);
    await once(second, 'listening');
    second.close();
    assert.throws(() => native.inode(fd), { code: 'EBADF' });
  });

  test('afterClose() is called when the descriptor has been closed', async () => {
    const server = await listening();
    const fd = descriptorOf(server) ?? -1;
    const seen: string[] = [];
    afterClose(server, () => {
      try {
        native.inode(fd);
      } catch (error) {
        seen.push((error as NodeJS.ErrnoException).code ?? '');
      }
    });
    server.close();
    assert.deepEqual(seen, ['EBADF']);
    await once(server, 'close');
  });

  test('keepSocketFile() tells the path that Node would remove, once', async () => {
    const server = await listening();
    const fd = descriptorOf(server) ?? -1;
    assert.equal(Buffer.from(native.keepSocketFile(fd) ?? []).toString(), server.address());
    assert.equal(native.keepSocketFile(fd), undefined);
    const tcp = await listening('ipv4');
    assert.equal(native.keepSocketFile(descriptorOf(tcp) ?? -1), undefined);
  });

  test('The parsers of HTTP/1 and HTTP/2 can be seen at the socket, at both ends, and are gone after an upgrade', async () => {
    const server = await listenWith(http.createServer((_, response) => response.end()));
    const accepted = once(server, 'connection') as Promise<[net.Socket]>;
    const agent = new http.Agent({ keepAlive: true });
    defer(() => agent.destroy());
    const options = { socketPath: String(server.address()), agent };
    const request = http.get(options);
    const [[socket], [mine]] = await Promise.all([
      accepted,
      once(request, 'socket') as Promise<[net.Socket]>,
    ]);
    assert.deepEqual([isParsed(socket), isParsed(mine)], [true, true]);
    await once(request, 'response').then(([response]) => response.resume());

    server.on('upgrade', (_, upgraded: net.Socket) => {
      defer(() => upgraded.destroy());
      upgraded.write('HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: it\r\n\r\n');
      server.emit('seen', isParsed(upgraded));
    });
    const seen = once(server, 'seen');
    const upgrade = http.get({ ...options, headers: { connection: 'upgrade', upgrade: 'it' } });
    const [, ours] = (await once(upgrade, 'upgrade')) as [unknown, net.Socket];
    assert.deepEqual([await seen, isParsed(ours)], [[false], false]);
    ours.destroy();

    const second = await listenWith(http2.createServer());
    const session = once(second, 'connection') as Promise<[net.Socket]>;
    const tcp = await connectTo(second);
    assert.equal(isParsed(tcp), false);
    const client = http2.connect('http://localhost', { createConnection: () => tcp });
    const [server2] = await session;
    assert.deepEqual([isParsed(server2), isParsed(tcp)], [true, true]);
    client.destroy();
    server2.destroy();
  });
});
