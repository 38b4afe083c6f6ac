// A contract test for each numbered part of src/grpc/internals.ts: what Node and grpc-js must go on being like.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { test } from 'node:test';
import * as tls from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { listen } from 'grpcfd/socket';
import * as internals from '#src/grpc/internals.js';
import { native } from '#src/native/binding.js';
import { certificates } from '../support/certificates.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { bind, freshAddress, shutDown, TestClient, testService } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

const PEER_NAME = `unix:pid=${process.pid},uid=${process.getuid?.()},gid=${process.getgid?.()}`;
const CHANGED = { reason: 'ERR_GRPCFD_INTERNALS_CHANGED', message: /Node v|grpc-js/ };

function bridged(fd: number) {
  const closed: boolean[] = [];
  const { socket, stream } = internals.bridgedConnection(fd, false, {
    onDescriptors: (fds) => native.closeAll(fds),
    onClosed: () => closed.push(stream.isOpen),
  });
  defer(() => socket.destroy());
  return { stream, socket, closed };
}

/** An HTTP/2 session over a socket of ours at each end, with TLS in between or not. */
async function sessions(secure: boolean) {
  const { server: pair } = await certificates();
  const server = secure ? http2.createSecureServer(pair) : http2.createServer();
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond();
    stream.pipe(stream);
  });
  const [a, b] = native.socketPair();
  const near = bridged(a);
  const far = bridged(b);
  const serverSession = once(server, 'session') as Promise<[http2.ServerHttp2Session]>;
  server.emit('connection', far.socket);
  const options = { socket: near.socket, ca: pair.cert, servername: 'localhost', ALPNProtocols: ['h2'] };
  const transport = secure ? tls.connect(options) : near.socket;
  const client = http2.connect('http://localhost', { createConnection: () => transport });
  const [session] = await serverSession;
  return { near, far, transport, client, session };
}

for (const secure of [false, true]) {
  const what = secure ? 'TLS' : 'plaintext';

  test(`1, ${what}: HTTP/2 runs over a bridged socket, and finds it again`, async () => {
    const { near, far, client, session } = await sessions(secure);
    assert.equal(internals.bridgedSocketOf(session), far.socket);
    assert.equal(session.socket.remoteAddress, PEER_NAME);
    const stream = client.request({ ':method': 'POST' });
    const sent = Buffer.alloc(1_000_000, 'abc');
    stream.end(sent);
    const received: Buffer[] = [];
    for await (const chunk of stream) received.push(chunk as Buffer);
    assert.ok(Buffer.concat(received).equals(sent));
    const gone = once(session, 'close');
    client.close();
    await Promise.all([gone, once(client, 'close')]);
    assert.deepEqual([near.closed, far.closed], [[false], [false]]);
  });

  test(`1, ${what}: ref and unref of a session reach the socket of Node`, async () => {
    const { near, client, session } = await sessions(secure);
    const handle = Reflect.get(near.socket, '_handle') as { hasRef(): boolean };
    client.unref();
    assert.equal(handle.hasRef(), false);
    client.ref();
    assert.equal(handle.hasRef(), true);
    client.destroy();
    await once(session, 'close');
  });

  test(`1, ${what}: the end of the peer closes the session and the stream`, async () => {
    const { near, far, client, session } = await sessions(secure);
    const ends = Promise.all([once(client, 'close'), once(session, 'close')]);
    far.socket.destroy();
    await ends;
    assert.deepEqual([near.stream.isOpen, far.stream.isOpen], [false, false]);
  });

  test(`7, ${what}: a session is told to leave its connection`, async () => {
    const { transport, client, session } = await sessions(secure);
    const told = once(client, 'goaway');
    internals.leaveConnection(transport);
    assert.equal((await told)[0], http2.constants.NGHTTP2_NO_ERROR);
    client.destroy();
    await once(session, 'close');
  });
}

test('2: a connected unix socket is known, and can be taken over before anything is read', async () => {
  const path = `${temporaryDirectory()}/s`;
  const server = net.createServer((peer) => peer.end('first bytes')).listen(path);
  await once(server, 'listening');
  const socket = net.connect(path);
  await once(socket, 'connect');
  assert.equal(internals.isUnixSocket(socket), true);
  const fd = internals.takeConnection(socket);
  assert.equal(socket.destroyed, true);
  const taken = new net.Socket({ fd });
  const [chunk] = (await once(taken, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'first bytes');
  taken.destroy();
  server.close();
  await once(server, 'close');
});

test('2: a TCP socket is no unix socket, and one without a handle cannot be taken', async () => {
  const server = net.createServer().listen(0, 'localhost');
  await once(server, 'listening');
  const socket = net.connect((server.address() as net.AddressInfo).port, 'localhost');
  await once(socket, 'connect');
  assert.equal(internals.isUnixSocket(socket), false);
  socket.destroy();
  server.close();
  await once(server, 'close');
  assert.equal(internals.isUnixSocket(new net.Socket()), false);
  assert.throws(() => internals.takeConnection(new net.Socket()), CHANGED);
});

test('3: Node pads abstract names before version 22, and never since', async () => {
  const name = `\0grpcfd-padding-${process.pid}`;
  const listener = await listen({ path: name }, (socket) => socket.destroy());
  const socket = net.connect(name);
  const outcome = await new Promise((resolve) => {
    socket.once('connect', () => resolve('connected'));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
  });
  socket.destroy();
  await listener.close();
  const [major = 0] = process.versions.node.split('.').map(Number);
  assert.equal(outcome, major < 22 ? 'ECONNREFUSED' : 'connected');
});

test('4: metadata is made once, when the stream starts, after every other credential', async () => {
  const server = new grpc.Server();
  server.addService(testService, {
    unary: (call: grpc.ServerUnaryCall<object, object>, callback: grpc.sendUnaryData<object>) => {
      callback(null, { late: call.metadata.get('late') });
    },
  });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  const events: string[] = [];
  const generator = (name: string, fill: (metadata: grpc.Metadata) => void) =>
    grpc.credentials.createFromMetadataGenerator((_options, callback) => {
      const metadata = new grpc.Metadata();
      fill(metadata);
      setImmediate(() => {
        events.push(name);
        callback(null, metadata);
      });
    });
  const late = generator('late', (metadata) => {
    internals.setMetadataAtStreamStart(metadata, 'late', () => {
      events.push('made');
      return `after ${events.length}`;
    });
  });
  const credentials = late.compose(generator('other', () => {}));
  const client = new TestClient(address, grpc.credentials.createInsecure());
  assert.deepEqual(await client.unary({}, { credentials }), { late: ['after 3'] });
  assert.deepEqual(events, ['late', 'other', 'made']);
  client.grpc.close();
  await shutDown(server);
  assert.throws(() => internals.setMetadataAtStreamStart({} as grpc.Metadata, 'a', () => ''), CHANGED);
});

test('4: composed call credentials show their parts, and empty ones are known', () => {
  const [a, b, c] = [1, 2, 3].map(() => grpc.credentials.createFromMetadataGenerator(() => {}));
  assert.ok(a && b && c);
  assert.deepEqual(internals.componentsOf(a), [a]);
  assert.deepEqual(internals.componentsOf(a.compose(b).compose(c)), [a, b, c]);
  assert.deepEqual(internals.componentsOf(a.compose(b.compose(c))), [a, b, c]);
  assert.ok(internals.isEmptyCallCredentials(grpc.credentials.createEmpty()));
  assert.ok(!internals.isEmptyCallCredentials(a));
});

test('5: the course of every call is seen, whatever becomes of it', async () => {
  const server = new grpc.Server();
  server.addService(testService, {
    unary: (call: grpc.ServerUnaryCall<{ code?: number }, object>, callback: grpc.sendUnaryData<object>) => {
      const { code } = call.request;
      if (code === undefined) callback(null, {});
      else callback({ code, details: '' });
    },
  });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  const credentials = grpc.credentials.createFromMetadataGenerator((_options, callback) =>
    callback(null, new grpc.Metadata()),
  );
  let events: string[] = [];
  internals.installCallHook((given) => {
    if (given !== credentials) return undefined;
    return {
      credentials,
      observer: {
        started: () => void events.push('started'),
        committed: () => void events.push('committed'),
        ended: () => void events.push('ended'),
      },
    };
  });
  const client = new TestClient(address, grpc.credentials.createInsecure());
  const nobody = new TestClient(freshAddress(), grpc.credentials.createInsecure());
  const cases: [call: () => Promise<unknown>, expected: string[]][] = [
    [() => client.unary({}, { credentials }), ['started', 'committed', 'ended']],
    [() => client.unary({}), []],
    [() => client.unary({ code: 5 }, { credentials }), ['started', 'ended']],
    [() => nobody.unary({}, { credentials }), ['started', 'ended']],
    [() => client.unary({}, { credentials, deadline: Date.now() - 1 }), ['started', 'ended']],
  ];
  for (const [call, expected] of cases) {
    events = [];
    await call().catch(() => {});
    assert.deepEqual(events, expected);
  }
  client.grpc.close();
  await shutDown(server);
});

test('6: net.Server listens with a handle of ours, and counts its connections by it', async () => {
  const server = http2.createServer();
  let accept: ((open: () => net.Socket) => void) | undefined;
  let closed = false;
  internals.listenOnUnixPathsWith(server, (path, onConnection) => {
    assert.equal(path, '/some/path');
    accept = onConnection;
    return { close: () => (closed = true), ref: () => {}, unref: () => {} };
  });
  server.listen({ path: '/some/path' });
  await once(server, 'listening');
  assert.deepEqual([server.listening, server.address()], [true, '/some/path']);
  const [a, b] = native.socketPair();
  const { socket } = bridged(a);
  accept?.(() => socket);
  const count = () =>
    new Promise((resolve) => server.getConnections((_error, connections) => resolve(connections)));
  assert.equal(await count(), 1);
  const gone = once(server, 'close');
  server.close();
  assert.equal(closed, true);
  native.close(b);
  await gone;
  assert.equal(await count(), 0);
});

test('6: an error of ours is reported as a failed listen, and TCP is left to Node', async () => {
  const server = http2.createServer();
  internals.listenOnUnixPathsWith(server, () => {
    throw new Error('not here');
  });
  server.listen({ path: '/some/path' });
  assert.match(String(await once(server, 'error')), /not here/);
  server.listen({ host: 'localhost', port: 0 });
  await once(server, 'listening');
  server.close();
  await once(server, 'close');
});

test('6: the credentials inside others are found; what is missing is reported', () => {
  const inner = grpc.ServerCredentials.createInsecure();
  const outer = grpc.experimental.createServerCredentialsWithInterceptors(inner, []);
  assert.equal(internals.childCredentialsOf(outer), inner);
  assert.equal(internals.childCredentialsOf(inner), undefined);
  assert.equal(internals.streamOf({}), undefined);
  assert.throws(
    () => internals.replaceCreateHttp2Server({} as grpc.Server, (_credentials, create) => create()),
    CHANGED,
  );
  assert.throws(() => internals.listenOnUnixPathsWith({} as http2.Http2Server, () => assert.fail()), CHANGED);
});
