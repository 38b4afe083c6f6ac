import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { connect } from 'grpcfd/socket';
import { PREFACE } from '#src/cli/proxy/frames.js';
import { closeAll, native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import {
  bind,
  dial,
  freshAddress,
  SECURITIES,
  serve,
  shutDown,
  stockChannelCredentials,
  TestClient,
  testService,
} from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';
import { ends, SOON_MS, startProxy } from './proxy-process.js';
import { tool } from './tool.js';

trackDescriptors();

/** Sends the file of the request back. */
const giveBack = grpcfd.handler<Record<string, unknown>, Record<string, unknown>>(
  async (call: grpc.ServerUnaryCall<Record<string, unknown>, Record<string, unknown>>, fds) => {
    await using file = await fds.recvFile(call.request['file'] as string);
    return { file: fds.sendFile(file).ref };
  },
);

for (const security of SECURITIES) {
  test(`${security}: descriptors travel both ways through the proxy`, async () => {
    const { address } = await serve({ unary: giveBack }, { security });
    const proxy = await startProxy(address);
    const client = await dial(proxy.address, { security });
    const fd = fileWith('through the proxy');
    using fds = grpcfd.callCredentials();
    const { ref } = fds.sendFd(fd);
    closeAll([fd]);
    const reply = await client.unary({ file: ref }, fds.options());
    assert.equal(contentOf(await fds.recvFd(reply['file'] as string)), 'through the proxy');

    const descriptors = await proxy.after('descriptor', 2);
    assert.deepEqual(
      descriptors.map(({ direction, number, kind, access }) => ({ direction, number, kind, access })),
      [
        { direction: 'to server', number: 1, kind: 'file', access: 'readwrite' },
        { direction: 'to client', number: 1, kind: 'file', access: 'readwrite' },
      ],
    );
    assert.equal(new Set(descriptors.map(({ inode }) => inode)).size, 1);
    if (security !== 'plaintext') {
      assert.match(String((await proxy.after('protocol'))[0]?.['protocol']), /^TLS/);
      return;
    }
    const [end] = await proxy.after('end');
    assert.deepEqual(end, {
      connection: 1,
      event: 'end',
      call: 1,
      method: testService.unary.path,
      status: 'OK',
    });
    const named = (await proxy.after('named', 4)).map(({ direction, name, where }) => [
      direction,
      name,
      where,
    ]);
    for (const where of ['metadata', 'message']) {
      assert.ok(named.some((each) => each.join() === `to server,${ref},${where}`));
      assert.ok(named.some((each) => each.join() === `to client,${reply['file']},${where}`));
    }
    client.grpc.close();
    await proxy.after('close');
    assert.deepEqual(
      proxy.events.filter(({ event }) => event === 'trouble'),
      [],
    );
  });
}

test('what a message names and has not come stands out, and so does what no call names', async () => {
  const { address } = await serve({ unary: (_call, callback) => callback(null, { text: 'fd:forged:7' }) });
  const proxy = await startProxy(address);
  const connections: grpcfd.FdConnection[] = [];
  const client = await dial(proxy.address, {
    options: { onConnection: (connection) => void connections.push(connection) },
  });
  const fd = fileWith('');
  defer(() => closeAll([fd]));
  await client.unary({});
  connections[0]?.sendFd(fd);
  await client.unary({ file: 'inode://1/2' });
  client.grpc.close();
  await proxy.after('close');
  const troubles = proxy.events.filter(({ event }) => event === 'trouble').map(({ trouble }) => trouble);
  assert.deepEqual(troubles, [
    'a message names fd:forged:7, which has not come',
    'a message names inode://1/2, which has not come',
    'a message names fd:forged:7, which has not come',
    'no call named it, so nobody received it by name',
  ]);
});

test('a call that fails for a descriptor stands out', async () => {
  const { address } = await serve({ unary: giveBack });
  const proxy = await startProxy(address);
  const client = await dial(proxy.address);
  await assert.rejects(client.unary({ file: 'fd:forged:7' }));
  const [end] = await proxy.after('end');
  assert.match(String(end?.['status']), /^[A-Z_]+$/);
  assert.notEqual(end?.['status'], 'OK');
});

test('stock ends pass, too, and calls of every kind with large messages', async () => {
  const server = new grpc.Server();
  server.addService(testService, {
    unary: (call: grpc.ServerUnaryCall<unknown, unknown>, callback: grpc.sendUnaryData<unknown>) =>
      callback(null, call.request),
    clientStream: (_call: unknown, callback: grpc.sendUnaryData<unknown>) => callback(null, {}),
    serverStream: (call: grpc.ServerWritableStream<unknown, unknown>) => call.end(),
    bidi: (call: grpc.ServerDuplexStream<unknown, unknown>) => {
      call.on('data', (message) => call.write(message));
      call.on('end', () => call.end());
    },
  });
  const address = freshAddress();
  await bind(server, address, grpc.ServerCredentials.createInsecure());
  defer(() => shutDown(server));
  const proxy = await startProxy(address);
  const client = new TestClient(proxy.address, await stockChannelCredentials('plaintext'));
  const text = 'x'.repeat(1_000_000);
  assert.deepEqual(await client.unary({ text }), { text });
  const bidi = client.bidi();
  const echoed: unknown[] = [];
  bidi.on('data', (message) => echoed.push(message));
  for (let index = 0; index < 30; index++) bidi.write({ index, text });
  bidi.end();
  await once(bidi, 'status');
  assert.equal(echoed.length, 30);
  const calls = (await proxy.after('end', 2)).map(({ method, status }) => [method, status]);
  assert.deepEqual(calls, [
    [testService.unary.path, 'OK'],
    [testService.bidi.path, 'OK'],
  ]);
});

test('descriptors stay with their bytes, in order, and half-closed connections go on', async () => {
  const { client, server, proxy } = await ends();
  const sizes: bigint[] = [];
  const late: string[] = [];
  let received = 0;
  server.on('fds', (fds) => {
    for (const fd of fds) sizes.push(BigInt(contentOf(fd)));
  });
  server.on('data', (chunk: Buffer) => {
    received += chunk.length;
    // Descriptor n rode on byte n * 1000, so it must be here by now.
    if (sizes.length < Math.ceil(received / 1000)) late.push(`${sizes.length} at ${received}`);
  });
  server.on('end', () => {
    server.end('answer');
  });
  for (let index = 0; index < 200; index++) {
    const fd = fileWith(String(index));
    client.writeWithFds(Buffer.alloc(1000, 7), [fd]);
    closeAll([fd]);
  }
  client.end();
  const answer = await new Promise<string>((resolve) => {
    let text = '';
    client.on('data', (chunk) => {
      text += chunk;
    });
    client.on('end', () => resolve(text));
  });
  assert.equal(answer, 'answer');
  assert.deepEqual(late, []);
  assert.equal(received, 200_000);
  assert.deepEqual(
    sizes,
    Array.from({ length: 200 }, (_, index) => BigInt(index)),
  );
  assert.match(String((await proxy.after('protocol'))[0]?.['protocol']), /^not HTTP\/2/);
  const [close] = await proxy.after('close');
  assert.deepEqual(close, { connection: 1, event: 'close', bytesToServer: 200_000, bytesToClient: 6 });
});

test('a reader that is slow holds up the writer, and nothing is lost', async () => {
  const { client, server } = await ends();
  const chunk = Buffer.alloc(64 * 1024, 1);
  const chunks = 256;
  Readable.from(Array.from({ length: chunks }, () => chunk)).pipe(client);
  // Nobody reads at the server. What the kernel and the streams have room for is taken, and then no more.
  let before = -1;
  for (; client.stats().bytesWritten > before; await delay(300)) before = client.stats().bytesWritten;
  assert.ok(before < (chunks * chunk.length) / 2, `${before} bytes were taken, and nobody reads`);
  let received = 0;
  server.on('data', (bytes: Buffer) => {
    received += bytes.length;
  });
  await once(server, 'end');
  assert.equal(received, chunks * chunk.length);
});

test('the end of one side reaches the other, and what was sent before arrives', async () => {
  const { client, server, proxy } = await ends();
  const [out, into] = native.testing.pipe();
  server.writeWithFds('last words', [out], () => server.destroy());
  closeAll([out]);
  const got: string[] = [];
  client.on('fds', (fds) => {
    got.push(`${fds.length} fd`);
    closeAll(fds);
  });
  client.on('data', (chunk) => got.push(String(chunk)));
  client.on('error', () => {});
  await once(client, 'end');
  client.end();
  assert.deepEqual(got, ['1 fd', 'last words']);
  await proxy.after('close');
  closeAll([into]);
});

/** An HTTP/2 frame without flags, or HEADERS with END_HEADERS. */
function frame(type: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = type === HEADERS ? 4 : 0;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

const HEADERS = 1;
const SETTINGS = 4;
const UNKNOWN_TYPE = 0xfa;

for (const isOpen of [false, true]) {
  test(`a client that goes ${isOpen ? 'during a call' : 'after its calls'} is ${isOpen ? 'trouble' : 'none'}`, async () => {
    const { client, server, proxy } = await ends();
    server.on('error', () => {}).resume();
    client.pause();
    client.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, Buffer.alloc(0))]));
    // A header that is not indexed: the path, which is number 4 in the static table.
    if (isOpen) client.write(frame(HEADERS, 1, Buffer.from('\x04\x04/a/b')));
    await proxy.after(isOpen ? 'call' : 'protocol');
    // More than the client and the kernel take.
    const many = frame(UNKNOWN_TYPE, 0, Buffer.alloc(16_000));
    server.write(Buffer.concat(Array(500).fill(many)));
    while (server.stats().bytesWritten === 0) await delay(10);
    client.destroy();
    await proxy.after('close');
    const troubles = proxy.events.filter(({ event }) => event === 'trouble').map(({ trouble }) => trouble);
    assert.equal(troubles.length, isOpen ? 2 : 0, String(troubles));
    if (isOpen) assert.match(String(troubles[0]), /^the client failed: (EPIPE|ECONNRESET)/);
  });
}

test('descriptors that the kernel drops stand out, and the connection is closed', async () => {
  const { client, proxy } = await ends({ maxOpenFiles: 40 });
  client.on('error', () => {}).resume();
  client.once('end', () => client.destroy());
  const fd = fileWith('');
  client.writeWithFds('many', Array(60).fill(fd));
  closeAll([fd]);
  await once(client, 'close');
  const troubles = (await proxy.after('trouble')).map(({ trouble }) => trouble);
  assert.match(String(troubles), /MSG_CTRUNC/);
});

test('a server that is not there stands out, and the client is hung up on', async () => {
  const proxy = await startProxy(freshAddress());
  const client = await connect(proxy.address.slice('unix:'.length));
  client.on('error', () => {});
  client.resume();
  await once(client, 'close');
  const [trouble] = await proxy.after('trouble');
  assert.match(String(trouble?.['trouble']), /cannot be connected: ENOENT/);
});

test('a place where it cannot listen ends it in one line', async () => {
  const { code, stderr } = await tool(['proxy', '--listen', 'unix:/no/such/dir/x', '--to', freshAddress()]);
  assert.equal(code, 69);
  assert.match(stderr, /^grpcfd: unix:\/no\/such\/dir\/x: ENOENT.*\n$/);
});

test('lines for people say the same, and trouble begins with "!"', async () => {
  const { address } = await serve({ unary: (_call, callback) => callback(null, {}) });
  const proxy = await startProxy(address, { json: false });
  const client = await dial(proxy.address);
  // The preface may come alone, or with the first descriptor.
  await client.unary({});
  const fd = fileWith('');
  using fds = grpcfd.callCredentials();
  const { ref } = fds.sendFd(fd);
  closeAll([fd]);
  await client.unary({ file: ref, other: 'fd:forged:7' }, fds.options());
  client.grpc.close();
  await within(SOON_MS, 'the end', () => proxy.lines.some((line) => line.includes('closed')));
  const lines = proxy.lines.map((line) => line.replaceAll(ref, 'REF').replace(/\d+\/\d+$/, 'INODE'));
  assert.deepEqual(
    lines.slice(1).map((line) => line.replace(/\/\S+ \(deleted\)/, 'PATH').replace(/\d+ bytes/g, 'N bytes')),
    [
      '  #1 HTTP/2 in plaintext',
      '  #1 call 1 /grpcfd.test.Test/Unary',
      '  #1 call 1 /grpcfd.test.Test/Unary ended: OK',
      '  #1 → fd 1 file (readwrite) PATH INODE',
      '  #1 call 2 /grpcfd.test.Test/Unary',
      '  #1 → fd 1 is REF in the metadata of call 2 /grpcfd.test.Test/Unary',
      '  #1 → fd 1 is REF in the message of call 2 /grpcfd.test.Test/Unary',
      '! #1 call 2 /grpcfd.test.Test/Unary: a message names fd:forged:7, which has not come',
      '  #1 call 2 /grpcfd.test.Test/Unary ended: OK',
      '  #1 closed, N bytes to the server, N bytes to the client',
    ],
  );
});
