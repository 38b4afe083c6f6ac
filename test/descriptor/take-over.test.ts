/** What Node can do with what a received socket was made into. */
import assert from 'node:assert/strict';
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import type * as net from 'node:net';
import { describe, test } from 'node:test';
import * as tls from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { native } from '#src/native/binding.js';
import { allClosed } from '../support/all-closed.js';
import { certificates } from '../support/certificates.js';
import { runFixture } from '../support/child.js';
import { leaveFree, liftLimit } from '../support/descriptor-limit.js';
import { assertFails, assertFailure } from '../support/failure.js';
import { defer, descriptorTable, settledTable, trackDescriptors } from '../support/fd-table.js';
import { testService, withResolvers } from '../support/service.js';
import {
  addressOf,
  boundTo,
  connected,
  connectTo,
  listening,
  numberOf,
  received,
  STREAM_FAMILIES,
  sharedState,
  textOf,
} from '../support/sockets.js';
import { SPECIMENS } from '../support/specimens.js';
import { temporaryDirectory } from '../support/temporary.js';
import { within } from '../support/until.js';

const IPPROTO_UDPLITE = 136;

const TAKING = ['toSocket', 'toFdSocket', 'toServer', 'toDatagramSocket'] as const;
type Taking = (typeof TAKING)[number];

/** `thing` as it is received, and as what it is then. It ends with the test. */
function taken<Name extends Taking>(name: Name, thing: Parameters<typeof received>[0]) {
  const made = received(thing)[name]() as ReturnType<ReturnType<typeof received>[Name]>;
  defer(() => ('destroy' in made ? made.destroy() : made.close()));
  return made;
}

describe('Taking over a connection', () => {
  trackDescriptors();

  for (const family of STREAM_FAMILIES) {
    test(`toSocket() of ${family} talks, tells its addresses, and half-closes`, async () => {
      const [client, accepted] = await connected(family);
      const file = received(accepted);
      accepted.destroy();
      const socket = file.toSocket({ allowHalfOpen: true });
      defer(() => socket.destroy());
      assert.equal(file.closed, true);
      assert.equal(socket.remotePort, client.localPort);
      assert.equal(socket.remoteAddress, client.localAddress);
      assert.equal(socket.setNoDelay(), socket);
      client.end('question');
      assert.equal(await textOf(socket), 'question');
      socket.end('answer');
      assert.equal(await textOf(client), 'answer');
    });

    test(`toSocket() of ${family} ends by itself after its peer`, async () => {
      const [client, accepted] = await connected(family);
      const socket = taken('toSocket', accepted);
      client.end('question');
      assert.equal(await textOf(socket), 'question');
      await once(socket, 'close');
      // The other descriptor of this process is still open: so that is the end of the connection, and not the close of a descriptor.
      assert.equal(await textOf(client), '');
    });
  }

  test('toFdSocket() carries descriptors with its bytes, both ways', async () => {
    const pair = native.socketPair();
    const [one, other] = [taken('toFdSocket', pair[0]), taken('toFdSocket', pair[1])];
    for (const fd of pair) native.close(fd);
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const arrived = once(to, 'fds') as Promise<[number[], boolean]>;
      from.writeWithFds('!', [1]);
      to.resume();
      const [fds, truncated] = await arrived;
      assert.deepEqual([fds.length, truncated], [1, false]);
      for (const fd of fds) native.close(fd);
    }
  });

  test('HTTP, TLS and HTTP/2 run on a taken connection', async () => {
    const { server: pair } = await certificates();
    const [client, accepted] = await connected('ipv4');
    const secure = tls.createServer(pair, (socket) => socket.pipe(socket));
    secure.emit('connection', taken('toSocket', accepted));
    const encrypted = tls.connect({ socket: client, ca: pair.cert, servername: 'localhost' });
    defer(() => encrypted.destroy());
    encrypted.end('secret');
    assert.equal(await textOf(encrypted), 'secret');

    const [mine, theirs] = await connected('ipv4');
    const plain = http.createServer((request, response) =>
      response.end(`you are ${request.socket.remotePort}`),
    );
    plain.emit('connection', taken('toSocket', theirs));
    const request = http.get({ createConnection: () => mine });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    assert.equal(await textOf(response), `you are ${mine.localPort}`);

    const [near, far] = await connected();
    const modern = http2.createServer((_, answer) => answer.end('answer'));
    modern.emit('connection', taken('toSocket', far));
    const session = http2.connect('http://localhost', { createConnection: () => near });
    const stream = session.request();
    assert.equal(await textOf(stream), 'answer');
    session.destroy();
  });

  test('A server of grpc-js takes the connection in its injector', async () => {
    const listener = await listening();
    const server = new grpc.Server();
    server.addService(testService, {
      unary: (call: grpc.ServerUnaryCall<object, object>, callback: grpc.sendUnaryData<object>) =>
        callback(null, { heard: call.request }),
    });
    const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    listener.once('connection', (accepted) => {
      const file = received(accepted);
      accepted.destroy();
      injector.injectConnection(file.toSocket());
    });
    const Client = grpc.makeGenericClientConstructor(testService, 'Test');
    const client = new Client(`unix:${listener.address()}`, grpc.credentials.createInsecure());
    const { promise, resolve, reject } = withResolvers<object>();
    client['unary']?.({ text: 'question' }, (error: Error | null, reply: object) =>
      error ? reject(error) : resolve(reply),
    );
    assert.deepEqual(await promise, { heard: { text: 'question' } });
    client.close();
    injector.destroy();
    server.forceShutdown();
  });

  test('Reads and streams of the file end, and what they have read stays with them', async () => {
    const [client, accepted] = await connected();
    const file = received(accepted);
    const reading = file.createReadStream();
    client.write('first');
    const [chunk] = await once(reading, 'data');
    assert.equal(String(chunk), 'first');
    const ended = once(reading, 'error').then(([error]) => error);
    const waiting = file.read(Buffer.alloc(1));
    const status = file.stat();
    const socket = file.toSocket();
    defer(() => socket.destroy());
    assertFailure(await ended, 'ERR_GRPCFD_FILE_CLOSED', 'FAILED_PRECONDITION');
    await assertFails(waiting, 'ERR_GRPCFD_FILE_CLOSED', 'FAILED_PRECONDITION');
    assert.equal((await status).isSocket(), true);
    assert.throws(() => file.toSocket(), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
    assert.throws(() => file.socketInfo(), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
    client.write('second');
    assert.equal(String((await once(socket, 'data'))[0]), 'second');
  });
});

describe('Taking over a bound UDP socket', () => {
  trackDescriptors();

  for (const type of ['udp4', 'udp6'] as const) {
    test(`toDatagramSocket() of ${type} receives and sends, and tells its address`, async () => {
      const [bound, other] = await Promise.all([boundTo(type), boundTo(type)]);
      const file = received(bound);
      const socket = file.toDatagramSocket();
      defer(() => socket.close());
      assert.equal(file.closed, true);
      assert.ok(socket instanceof dgram.Socket);
      assert.deepEqual(socket.address(), bound.address());
      // Otherwise, another user of this machine could bind to the port.
      assert.equal(native.reusesAddress(numberOf(bound)), false);
      const { address, port } = other.address();
      socket.send('question', port, address);
      const [question, from] = (await once(other, 'message')) as [Buffer, dgram.RemoteInfo];
      assert.deepEqual([String(question), from.port], ['question', bound.address().port]);
      const answered = Promise.race([once(bound, 'message'), once(socket, 'message')]);
      other.send('answer', from.port, from.address);
      assert.equal(String((await answered)[0]), 'answer');
    });
  }

  test('A connected one stays connected', async () => {
    const [bound, other] = await Promise.all([boundTo('udp4'), boundTo('udp4')]);
    bound.connect(other.address().port, '127.0.0.1');
    await once(bound, 'connect');
    const socket = taken('toDatagramSocket', bound);
    assert.equal(socket.remoteAddress().port, other.address().port);
    socket.send('a datagram');
    assert.equal(String((await once(other, 'message'))[0]), 'a datagram');
  });
});

describe('What cannot be taken over', () => {
  trackDescriptors();

  const assertRefused = async (
    file: ReturnType<typeof received>,
    method: Taking | 'socketInfo',
    reason: string,
    text: RegExp,
  ): Promise<void> => {
    await allClosed();
    const before = sharedState(file.fd);
    const table = descriptorTable();
    assert.throws(
      () => file[method](),
      (error: Error & { reason: string }) => {
        assert.deepEqual(
          [error.reason, text.test(error.message)],
          [reason, true],
          `${method}: ${error.message}`,
        );
        return true;
      },
    );
    assert.equal(file.closed, false);
    assert.equal(sharedState(file.fd), before);
    assert.deepEqual(descriptorTable(), table);
  };

  test('Nothing but a socket is taken over, and the file is as before', async () => {
    for (const { open, what, kind, access } of SPECIMENS) {
      const fd = open();
      await using file = received(fd);
      native.close(fd);
      if (kind === 'socket' && access !== 'path') continue;
      const reason = kind === 'socket' ? 'ERR_GRPCFD_PATH_ONLY' : 'ERR_GRPCFD_UNEXPECTED_KIND';
      const text =
        kind === 'socket' ? /socket file that was opened with O_PATH/ : new RegExp(`the kind ${kind}, but`);
      for (const method of [...TAKING, 'socketInfo'] as const)
        await assertRefused(file, method, reason, text);
      assert.ok(what);
    }
  });

  test('Sockets of another family, type or state are refused, with a text that tells what they are', async () => {
    const [client] = await connected();
    const [tcp] = await connected('ipv4');
    const server = await listening();
    const udp = await boundTo('udp4');
    const path = `${temporaryDirectory()}/s`;
    const fds: Record<string, number> = {
      'unix and the type datagram (not connected, bound)': native.testing.datagramSocket(Buffer.from(path)),
      'unix and the type stream (not connected, bound)': native.bindUnix(Buffer.from('\0grpcfd test')),
      'unix and the type seqpacket (connected)': native.testing.socketPairOf(1, 5),
      'unix and the type datagram (connected)': native.testing.socketPairOf(1, 2),
      'ipv4 and the type datagram (not connected, not bound)': native.testing.socketOf(2, 2, 0),
      'ipv4 and the type stream (not connected, not bound)': native.testing.socketOf(2, 1, 0),
      'ipv6 and the type stream (not connected, not bound)': native.testing.socketOf(10, 1, 0),
      'netlink and the type raw (connected)': native.testing.socketOf(16, 3, 0),
      'unix and the type stream (connected)': native.duplicate(numberOf(client)),
      'ipv4 and the type stream (connected)': native.duplicate(numberOf(tcp)),
      'unix and the type stream (listening)': native.duplicate(numberOf(server)),
      'ipv4 and the type datagram (not connected, bound)': native.duplicate(numberOf(udp)),
    };
    const good: Record<string, readonly Taking[]> = {
      'unix and the type stream (connected)': ['toSocket', 'toFdSocket'],
      'ipv4 and the type stream (connected)': ['toSocket'],
      'unix and the type stream (listening)': ['toServer'],
      'ipv4 and the type datagram (not connected, bound)': ['toDatagramSocket'],
    };
    for (const [what, fd] of [...Object.entries(fds), ...Object.entries(rare())]) {
      const isGood = (method: Taking) => Object.values(fds).includes(fd) && good[what]?.includes(method);
      await using file = received(fd);
      native.close(fd);
      const text = new RegExp(
        `is a socket of the family ${what.replaceAll(/[()]/g, '\\$&')}, but .* was expected`,
      );
      for (const method of TAKING) {
        if (!isGood(method)) await assertRefused(file, method, 'ERR_GRPCFD_UNEXPECTED_KIND', text);
      }
    }
  });

  test('Wrong options are refused', async () => {
    const [client] = await connected();
    const server = await listening();
    const invalid = { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' };
    assert.throws(() => received(client).toSocket({ allowHalfOpen: 1 as never }), invalid);
    assert.throws(() => received(client).toSocket({ halfOpen: true } as never), invalid);
    assert.throws(() => received(client).toFdSocket({ fd: 3 } as never), invalid);
    assert.throws(() => received(server).toServer({ server: {} as never }), invalid);
    assert.throws(() => received(server).toServer({ backlog: 0 }), invalid);
    assert.throws(() => received(server).toServer({ server }), /must be a net.Server that does not listen/);
  });

  test('With a full descriptor table nothing is taken over, and it can be tried again', async () => {
    const [client] = await connected();
    const things = {
      toSocket: client,
      toFdSocket: client,
      toServer: await listening(),
      toDatagramSocket: await boundTo('udp4'),
    };
    for (const method of TAKING) {
      const file = received(things[method]);
      let failed: unknown;
      // What a thread closes later would leave a number free.
      await settledTable();
      leaveFree(0);
      try {
        file[method]();
      } catch (error) {
        failed = error;
      } finally {
        liftLimit();
      }
      assertFailure(failed, 'ERR_GRPCFD_RECEIVE_FAILED', 'RESOURCE_EXHAUSTED');
      const made = file[method]();
      if ('destroy' in made) made.destroy();
      else made.close();
    }
  });

  test('A connection that was reset is not connected', async () => {
    const [client, accepted] = await connected('ipv4');
    client.resetAndDestroy();
    await once(client, 'close');
    // The reset has come when the kernel tells it.
    await within(5_000, 'the reset', () => !native.describeSocket(numberOf(accepted)).connected);
    await assertRefused(
      received(accepted),
      'toSocket',
      'ERR_GRPCFD_UNEXPECTED_KIND',
      /\(not connected, bound\)/,
    );
  });
});

/** Not every machine has them. */
function rare(): Record<string, number> {
  const found: Record<string, number> = {};
  try {
    found['vsock and the type stream (not connected, bound)'] = native.testing.socketOf(40, 1, 0);
  } catch {}
  try {
    const fd = native.testing.socketOf(2, 2, IPPROTO_UDPLITE);
    native.testing.bindToLoopback(fd);
    found['ipv4 and the type datagram (not connected, bound)'] = fd;
  } catch {}
  return found;
}

describe('socketInfo()', () => {
  trackDescriptors();

  test('It tells the family, the type, the state, the addresses and the peer', async () => {
    const server = await listening();
    const path = String(server.address());
    const unix = { family: 'unix', type: 'stream', listening: false, connected: true } as const;
    const own = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
    const place = { address: path, port: undefined };
    const accepted = once(server, 'connection') as Promise<[net.Socket]>;
    const client = await connectTo(server);
    const [socket] = await accepted;
    defer(() => socket.destroy());
    assert.deepEqual(received(client).socketInfo(), {
      ...unix,
      localAddress: undefined,
      remoteAddress: place,
      // It could be the end of a pair, whose other end was given that name.
      peer: undefined,
    });
    assert.deepEqual(received(socket).socketInfo(), {
      ...unix,
      localAddress: place,
      remoteAddress: undefined,
      peer: own,
    });
    assert.deepEqual(received(server).socketInfo(), {
      ...unix,
      listening: true,
      connected: false,
      localAddress: place,
      remoteAddress: undefined,
      peer: undefined,
    });
    const pair = native.socketPair();
    const ends = { localAddress: undefined, remoteAddress: undefined, peer: undefined };
    for (const fd of pair) {
      assert.deepEqual(received(fd).socketInfo(), { ...unix, ...ends });
      native.close(fd);
    }
  });

  for (const family of ['ipv4', 'ipv6'] as const) {
    test(`It tells the addresses of ${family}`, async () => {
      const server = await listening(family);
      const client = await connectTo(server);
      const { host: address, port } = addressOf(server) as net.TcpNetConnectOpts;
      const { localAddress, remoteAddress, ...info } = received(client).socketInfo();
      assert.deepEqual(info, { family, type: 'stream', listening: false, connected: true, peer: undefined });
      assert.deepEqual(localAddress, { address: client.localAddress, port: client.localPort });
      assert.deepEqual(remoteAddress, { address, port });
      const udp = await boundTo(family === 'ipv4' ? 'udp4' : 'udp6');
      const { type, connected: isConnected, localAddress: bound } = received(udp).socketInfo();
      assert.deepEqual(
        [type, isConnected, bound],
        ['datagram', false, { address, port: udp.address().port }],
      );
    });
  }

  test('It tells abstract names, and that a socket is not bound', () => {
    const abstract = native.bindUnix(Buffer.from('\0grpcfd info'));
    assert.deepEqual(received(abstract).socketInfo().localAddress, {
      address: '\0grpcfd info',
      port: undefined,
    });
    native.close(abstract);
    const unbound = native.testing.socketOf(2, 1, 0);
    assert.equal(received(unbound).socketInfo().localAddress, undefined);
    native.close(unbound);
  });
});

test('The close of a taken connection does not wait, though its sender has set a linger time', async () => {
  const { code, signal, stdout, stderr } = await runFixture(
    './fixtures/lingering.js',
    import.meta.url,
    [],
    {},
    30_000,
  );
  assert.deepEqual([code, signal, stdout], [0, null, 'closed\nclosed\n'], stderr);
});

test('A worker thread that took sockets over can be terminated', async () => {
  const { code, signal, stdout, stderr } = await runFixture(
    './fixtures/worker-with-taken-sockets.js',
    import.meta.url,
  );
  assert.deepEqual([code, signal, stdout], [0, null, 'passed\n'], stderr);
});
