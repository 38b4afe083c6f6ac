/** What sendFile() takes, and what it refuses. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import { createReadStream, existsSync, renameSync } from 'node:fs';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import * as net from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as tls from 'node:tls';
import * as tty from 'node:tty';
import { fileURLToPath } from 'node:url';
import * as grpcfd from 'grpcfd';
import { listen } from 'grpcfd/socket';
import { native } from '#src/native/binding.js';
import { allClosed } from '../support/all-closed.js';
import { certificates } from '../support/certificates.js';
import { runFixture } from '../support/child.js';
import { assertFailure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { conversation, converse } from '../support/kinds.js';
import { dial, serve } from '../support/service.js';
import { socketPair } from '../support/socket-pair.js';
import {
  boundTo,
  connected,
  connectTo,
  listening,
  listenWith,
  received,
  startEcho,
  textOf,
} from '../support/sockets.js';
import { temporaryDirectory } from '../support/temporary.js';
import { within } from '../support/until.js';

/** Tries to send. It is never in a call. */
function send(thing: unknown): grpcfd.SentFd {
  const fds = grpcfd.callCredentials();
  try {
    return fds.sendFile(thing as grpcfd.SendableObject);
  } finally {
    fds.close();
  }
}

function refusal(thing: unknown): string {
  try {
    send(thing);
  } catch (error) {
    return assertFailure(error, 'ERR_GRPCFD_INVALID_ARGUMENT', 'INVALID_ARGUMENT').details;
  }
  return assert.fail('it was sent');
}

describe('What has no descriptor, or would lose bytes, is refused', () => {
  trackDescriptors();

  test('A TLSSocket', async () => {
    const { server: pair } = await certificates();
    const server = await listenWith(tls.createServer(pair), 'ipv4');
    const { port } = server.address() as net.AddressInfo;
    const client = tls.connect({ port, host: '127.0.0.1', ca: pair.cert, servername: 'localhost' });
    defer(() => client.destroy());
    const [accepted] = (await once(server, 'secureConnection')) as [tls.TLSSocket];
    defer(() => accepted.destroy());
    for (const socket of [client, accepted]) {
      assert.match(refusal(socket), /^this TLSSocket cannot be sent: its keys are in this process/);
    }
  });

  test('A socket on which TLS of this process runs, at both ends', async () => {
    const { server: pair } = await certificates();
    for (const server of [tls.createServer(pair), https.createServer(pair), http2.createSecureServer(pair)]) {
      await listenWith(server, 'ipv4');
      const { port } = server.address() as net.AddressInfo;
      const accepted = once(server, 'connection') as Promise<[net.Socket]>;
      const below = net.connect(port, '127.0.0.1');
      defer(() => below.destroy());
      const [raw] = await accepted;
      defer(() => raw.destroy());
      assert.match(refusal(raw), /^this Socket cannot be sent: TLS runs on it/);
      const client = tls.connect({ socket: below, ca: pair.cert, servername: 'localhost' });
      await once(client, 'secureConnect');
      for (const socket of [raw, below]) {
        assert.match(refusal(socket), /^this Socket cannot be sent: (TLS runs on it|an HTTP parser)/);
      }
      client.destroy();
    }
  });

  test('A socket that an http.Agent keeps for its next request', async () => {
    const server = await listenWith(
      http.createServer((_request, response) => response.end('x')),
      'ipv4',
    );
    const agent = new http.Agent({ keepAlive: true });
    defer(() => agent.destroy());
    const { port } = server.address() as net.AddressInfo;
    const [response] = await once(http.get({ port, host: '127.0.0.1', agent }), 'response');
    await once((response as http.IncomingMessage).resume(), 'end');
    await within(10_000, 'a free socket', () => Object.values(agent.freeSockets).length > 0);
    const [[kept] = []] = Object.values(agent.freeSockets);
    assert.ok(kept);
    assert.match(refusal(kept), /^this Socket cannot be sent: an http.Agent keeps it/);
  });

  test('A socket that is piped into another stream', async () => {
    const [one] = await connected('unix');
    one.pipe(new PassThrough());
    assert.match(
      refusal(one),
      /it is piped into another stream, which would go on reading it: unpipe\(\) it first/,
    );
    one.unpipe();
    send(one);
  });

  test('A socket that is not connected yet, or not any more', async () => {
    assert.match(refusal(new net.Socket()), /it is not connected$/);
    const server = await listening('ipv4');
    const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
    assert.match(refusal(client), /not connected yet: wait for its event 'connect'/);
    await once(client, 'connect');
    client.destroy();
    assert.match(refusal(client), /it is destroyed, and its descriptor is closed/);
  });

  for (const family of ['unix', 'ipv4'] as const) {
    test(`A socket of which pause() has read ahead, until the bytes are taken out (${family})`, async () => {
      const [client, accepted] = await connected(family);
      client.write(Buffer.alloc(40_000, 'x'));
      accepted.resume().pause();
      await delay(20);
      assert.match(
        refusal(accepted),
        /: \d+ bytes of it were read in this process already, and would be lost/,
      );
      // Nothing has changed.
      assert.equal(accepted.destroyed, false);
      const taken = accepted.read() as Buffer;
      send(accepted);
      client.end('the rest');
      await delay(20);
      const socket = received(accepted).toSocket();
      assert.equal(taken.length + (await textOf(socket)).length, 40_000 + 'the rest'.length);
    });
  }

  test('A socket with bytes that wait to be written, or one that is being ended', async () => {
    const [client, accepted] = await connected();
    const large = Buffer.alloc(4 << 20);
    const written = new Promise((resolve) => client.write(large, resolve));
    assert.match(refusal(client), /: \d+ bytes wait to be written to it: wait for the callback of write/);
    accepted.resume();
    await written;
    send(client);
    client.end();
    assert.match(refusal(client), /is being ended: wait for its event 'finish'/);
    await once(client, 'finish');
    send(client);
  });

  test('A socket whose encoding may hold a part of a character', async () => {
    const [client, accepted] = await connected();
    accepted.setEncoding('utf8');
    send(accepted);
    accepted.resume();
    client.write(Buffer.from('€').subarray(0, 2));
    await delay(20);
    assert.match(refusal(accepted), /setEncoding\(\) was called, which may hold a part of a character/);
  });

  test('A socket that an HTTP parser or session of this process reads', async () => {
    for (const server of [http.createServer(), http2.createServer()]) {
      const accepted = once(await listenWith(server), 'connection') as Promise<[net.Socket]>;
      await connectTo(server);
      const [socket] = await accepted;
      defer(() => socket.destroy());
      assert.match(refusal(socket), /an HTTP parser of this process reads it/);
    }
  });

  test('The socket of an HTTP/2 session, and the session itself', async () => {
    const server = await listenWith(http2.createServer(), 'ipv4');
    const session = http2.connect(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`);
    const [[accepted]] = await Promise.all([once(server, 'session'), once(session, 'connect')]);
    for (const each of [session, accepted]) {
      assert.match(refusal(each.socket), /an HTTP parser of this process reads it/);
      assert.match(refusal(each), /it has no descriptor of its own/);
    }
    session.destroy();
  });

  test('An FdSocket with bytes that nobody has read, and one that is closed', async () => {
    const [one, other] = socketPair();
    other.write('bytes');
    one.on('readable', () => {});
    await once(one, 'readable');
    assert.match(refusal(one), /5 bytes were received that nobody has read/);
    one.destroy();
    assert.match(refusal(one), /it was destroyed or released/);
  });

  test('A server that does not listen, and a dgram.Socket that is not bound', async () => {
    assert.match(refusal(net.createServer()), /this Server cannot be sent: it does not listen/);
    const server = await listening();
    server.close();
    assert.match(refusal(server), /it does not listen/);
    const udp = dgram.createSocket('udp4');
    assert.match(refusal(udp), /not bound yet: wait for its event 'listening'/);
    udp.close();
    assert.match(refusal(udp), /it is closed, or not bound/);
    const listener = await listen({ path: `${temporaryDirectory()}/s` });
    await listener.close();
    assert.match(refusal(listener), /has the file been closed\?/);
  });

  test('Streams and objects without a descriptor', async () => {
    assert.match(
      refusal(Readable.from(['x'])),
      /this Readable cannot be sent: it has no descriptor of its own/,
    );
    assert.match(refusal({}), /this Object cannot be sent/);
    for (const wrong of [undefined, null, 'fd', true]) {
      assert.match(refusal(wrong), /a file descriptor is a non-negative integer, not/);
    }
    const stream = createReadStream('/proc/version');
    assert.match(refusal(stream), /not null: wait for the event 'open' of the stream/);
    await once(stream, 'open');
    send(stream);
    stream.destroy();
    await once(stream, 'close');
  });

  // Where the primary process shares a TCP socket, the worker can send it. It cannot where the primary removes the socket file.
  for (const [policy, place] of [
    ['rr', 'TCP'],
    ['rr', 'path'],
    ['none', 'path'],
  ] as const) {
    test(`The server of a worker of node:cluster, for which the primary process listens: ${place}, policy ${policy}`, async () => {
      const at = place === 'TCP' ? '' : join(temporaryDirectory(), 's');
      const fixture = './fixtures/cluster-sender.js';
      const { stdout, stderr, code } = await runFixture(fixture, import.meta.url, [policy, at], {}, 30_000);
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(
        stdout,
        /^this Server cannot be sent: the primary process of node:cluster listens for this worker/,
      );
    });
  }
});

describe('What has a descriptor is sent', () => {
  trackDescriptors();

  test('The standard streams of a process, over pipes, sockets and files', async () => {
    const script = fileURLToPath(new URL('./fixtures/standard-streams.js', import.meta.url));
    const said = (command: string) => {
      const { status, stderr, stdout } = spawnSync('sh', ['-c', command, process.execPath, script], {
        encoding: 'utf8',
        input: '',
      });
      assert.equal(status, 0, stderr);
      return stdout;
    };
    assert.equal(said('"$0" "$1"'), 'sent 3\n');
    assert.equal(said('echo | "$0" "$1" | cat'), 'sent 3\n');
    assert.equal(said('"$0" "$1" < /dev/null 2> /dev/null'), 'sent 3\n');
  });

  /** Sends it in a call, and returns the file that the handler of this process got. */
  async function pass(thing: grpcfd.Sendable, name: 'refs' | 'urls' = 'refs'): Promise<grpcfd.ReceivedFile> {
    let got: grpcfd.ReceivedFile | undefined;
    const { address } = await serve(
      conversation(async ({ file }, fds) => {
        got = await fds.recvFile(String(file));
        return {};
      }),
    );
    const client = await dial(address);
    const fds = grpcfd.callCredentials();
    const message = fds[name]({ file: thing });
    await converse(client, 'unary', [message], fds.options());
    fds.close();
    assert.ok(got);
    return got;
  }

  test('refs() and urls() take all of them: the streams of a child process, terminals, servers, sockets', async () => {
    const echo = startEcho();
    const [master, slave] = native.testing.terminal();
    const [terminal, screen] = [new tty.ReadStream(slave), new tty.WriteStream(native.duplicate(master))];
    defer(() => {
      terminal.destroy();
      screen.destroy();
      // Node has opened it anew.
      native.closeAll([master, slave]);
    });
    const [client] = await connected('ipv4');
    const things: [grpcfd.Sendable, grpcfd.FileKind][] = [
      [echo.stdin as net.Socket, 'socket'],
      [echo.stdout as net.Socket, 'socket'],
      [terminal, 'tty'],
      [screen, 'tty'],
      [client, 'socket'],
      [await listening(), 'socket'],
      [await listenWith(http.createServer()), 'socket'],
      [await listenWith(http2.createServer()), 'socket'],
      [await listenWith(tls.createServer()), 'socket'],
      [await boundTo('udp6'), 'socket'],
      [socketPair()[0], 'socket'],
    ];
    for (const [index, [thing, kind]] of things.entries()) {
      await using file = await pass(thing, index % 2 === 0 ? 'refs' : 'urls');
      assert.equal(file.kind, kind);
    }
  });

  test('From a socket that was sent nothing is read any more, in the middle of a flow; resume() goes on', async () => {
    const [client, accepted] = await connected();
    const heard: string[] = [];
    accepted.on('data', (chunk) => {
      heard.push(String(chunk));
      if (heard.length === 1) send(accepted);
    });
    accepted.resume();
    client.write('first');
    await once(accepted, 'data');
    client.write('second');
    await delay(20);
    assert.deepEqual([heard, accepted.isPaused(), accepted.destroyed], [['first'], true, false]);
    accepted.resume();
    await once(accepted, 'data');
    assert.deepEqual(heard, ['first', 'second']);
  });

  test('The same holds for an FdSocket', async () => {
    const [one, other] = socketPair();
    const heard: string[] = [];
    one.on('data', (chunk) => {
      heard.push(String(chunk));
      if (heard.length === 1) send(one);
    });
    other.write('first');
    await once(one, 'data');
    other.write('second');
    await delay(20);
    assert.deepEqual([heard, one.stats().bytesRead, one.destroyed], [['first'], 5, false]);
    one.resume();
    await once(one, 'data');
    assert.deepEqual(heard, ['first', 'second']);
  });

  test('A socket can be destroyed as soon as it was sent: its peer does not notice', async () => {
    const [client, accepted] = await connected('ipv4');
    const passing = pass(accepted);
    client.write('question');
    const file = await passing;
    accepted.destroy();
    const socket = file.toSocket();
    assert.equal(String((await once(socket, 'data'))[0]), 'question');
    socket.end('answer');
    assert.equal(await textOf(client), 'answer');
  });

  test('close() of a server that was sent leaves its file while its successor has the socket, and removes it otherwise', async () => {
    const server = await listening();
    const path = String(server.address());
    const successor = (await pass(server)).toServer({ unlinkOnClose: true });
    server.close();
    successor.on('connection', (socket) => socket.end('the successor'));
    assert.equal(await textOf(await connectTo(successor)), 'the successor');
    // The received descriptor, which a thread closes.
    await allClosed();
    successor.close();
    assert.equal(existsSync(path), false);

    const another = await listening();
    send(another);
    another.close();
    assert.equal(existsSync(String(another.address())), false);
  });

  test('The same holds for an FdListener', async () => {
    for (const isServed of [true, false]) {
      const path = `${temporaryDirectory()}/s`;
      const listener = await listen({ path });
      const file = await pass(listener);
      if (!isServed) await file.close();
      await listener.close();
      assert.equal(existsSync(path), isServed);
      await file.close();
    }
  });

  test('A server that was sent does not remove the file of another that has its path now', async () => {
    const server = await listening();
    const path = String(server.address());
    send(server);
    renameSync(path, `${path}.old`);
    const next = net.createServer().listen(path);
    await once(next, 'listening');
    server.close();
    assert.equal(existsSync(path), true);
    next.close();
    await once(next, 'close');
  });

  test('What cannot be queued is as before: reading goes on', async () => {
    const [client, accepted] = await connected();
    const fds = grpcfd.callCredentials();
    fds.close();
    accepted.resume();
    const heard = once(accepted, 'data');
    assert.throws(() => fds.sendFile(accepted), { reason: 'ERR_GRPCFD_CLOSED' });
    client.write('first');
    assert.equal(String((await heard)[0]), 'first');
  });
});
