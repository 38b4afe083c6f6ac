/** Peers that speak HTTP/2 by hand want to end the proxy, to hold it up, or to fill its memory. The relay goes on. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import type { FdSocket } from 'grpcfd/socket';
import { closeAll } from '#src/native/binding.js';
import { trackDescriptors } from '../support/fd-table.js';
import {
  callHeaders,
  FRAME,
  frame,
  headers,
  message,
  PREFACE,
  reset,
  responseHeaders,
  settings,
} from '../support/http2-frames.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { settledWithin, within } from '../support/until.js';
import { type Ends, ends, type Running, SOON_MS } from './proxy-process.js';

trackDescriptors();

const END_HEADERS = 4;
/** What the proxy may need more than before. Its memory for buffers alone is half of this. */
const MORE_MEGABYTES = 100;
const MIB = 1024 * 1024;
const GIVEN_UP = 'what follows on this connection is not decoded: ';

const call = Buffer.concat([PREFACE, settings(), callHeaders(1, '/a/B')]);
const path = (text: string) => Buffer.concat([PREFACE, headers(1, { ':path': text })]);
const repeat = (count: number, bytes: Buffer) => Buffer.concat(Array<Buffer>(count).fill(bytes));
/** A field that is added to the table: entry 62, whose index is one byte. */
const remembered = (name: string, value: string) =>
  Buffer.concat([
    Buffer.of(0x40, name.length),
    Buffer.from(name),
    Buffer.of(value.length),
    Buffer.from(value),
  ]);
const ENTRY_62 = Buffer.of(0xbe);
const TABLE_OF_1_MIB = Buffer.of(0x3f, 0xe1, 0xff, 0x3f);

interface Attack {
  /** What each end writes. The client begins, and the server answers when all has come. */
  readonly client?: () => Iterable<Buffer>;
  readonly server?: () => Iterable<Buffer>;
  readonly serverBegins?: boolean;
  readonly json?: boolean;
  /** What the proxy prints. */
  readonly line: string;
}

const ATTACKS: Readonly<Record<string, Attack>> = {
  'a frame that gRPC does not use, before the client has said anything': {
    serverBegins: true,
    server: () => [frame(5, 0, 1, Buffer.alloc(4))],
    client: () => [call],
    line: `${GIVEN_UP}gRPC pushes nothing`,
  },
  'a server that sends megabytes before its client': {
    serverBegins: true,
    server: () => Array<Buffer>(150).fill(Buffer.alloc(MIB, 'A')),
    client: () => [call],
    line: `${GIVEN_UP}the server has sent too much`,
  },
  'an answer that names millions of descriptors': {
    client: () => [call],
    server: () => [responseHeaders(1, { 'grpcfd-fds': `x${';1-9999'.repeat(9000)}` })],
    line: 'the metadata names more than 10000 descriptors: the others are left out',
  },
  'an answer that does so again and again, in ten bytes': {
    client: () => [call],
    server: () => [
      frame(FRAME.HEADERS, END_HEADERS, 1, remembered('grpcfd-fds', 'x;1-9999')),
      repeat(20_000, frame(FRAME.HEADERS, END_HEADERS, 1, ENTRY_62)),
    ],
    line: `${GIVEN_UP}metadata names far more descriptors than have come`,
  },
  'a request that names many descriptors, and sends none': {
    client: () => [
      PREFACE,
      callHeaders(1, '/a/B', { 'grpcfd-fds': `x;x.0.1${'.1/2'.repeat(9000)}` }),
      callHeaders(3, '/a/B', { 'grpcfd-fds': `x;x.0.1${'.1/2'.repeat(20_000)}` }),
    ],
    line: 'the metadata names 8990 more that have not come',
  },
  'white space without an end': {
    json: false,
    client: () => [path(' '.repeat(1_000_000))],
    line: 'call 1 ',
  },
  'a table for headers that nobody allowed': {
    client: () => [
      PREFACE,
      frame(FRAME.HEADERS, END_HEADERS, 1, TABLE_OF_1_MIB),
      ...Array<Buffer>(4).fill(frame(FRAME.HEADERS, END_HEADERS, 1, repeat(300_000, Buffer.of(0x40, 0, 0)))),
    ],
    line: `${GIVEN_UP}a table of 1048576 bytes for headers is too large: 4096 are allowed`,
  },
  'headers that are too large at once': {
    client: () => [PREFACE, frame(FRAME.HEADERS, 0, 1, Buffer.alloc(2 * MIB))],
    line: `${GIVEN_UP}a block of headers is too large`,
  },
  'headers that go on without an end': {
    client: () => [
      PREFACE,
      frame(FRAME.HEADERS, 0, 1, Buffer.alloc(MIB - 10)),
      repeat(200_000, frame(FRAME.CONTINUATION, 0, 1)),
    ],
    line: `${GIVEN_UP}a block of headers comes in too many frames`,
  },
  'headers with a million fields': {
    client: () => [
      PREFACE,
      ...Array<Buffer>(8).fill(frame(FRAME.HEADERS, END_HEADERS, 1, Buffer.alloc(MIB, 0x82))),
    ],
    line: `${GIVEN_UP}a block of headers has more than 10000 fields`,
  },
  'calls that do not end': {
    client: function* () {
      yield PREFACE;
      for (let from = 0; from < 100_000; from += 1000) {
        yield Buffer.concat(
          Array.from({ length: 1000 }, (_, index) => headers(2 * (from + index) + 1, { ':path': '/a/B' })),
        );
      }
    },
    line: `${GIVEN_UP}more than 4096 calls are open`,
  },
  'a stream that begins again and again': {
    client: () => [PREFACE, repeat(2, headers(1, { ':path': '/a/B' }))],
    line: `${GIVEN_UP}stream 1 begins twice`,
  },
  'names in large messages, which never come': {
    client: function* () {
      yield call;
      for (let index = 0; index < 60; index++) {
        const body = Buffer.alloc(3_000_000, 32);
        body.write(`fd:abcdefghijkl${index}:1`, 1000);
        yield frame(FRAME.DATA, 0, 1, grpcMessage(body));
      }
      yield reset(1);
    },
    line: 'a message names fd:abcdefghijkl59:1, which has not come',
  },
  'more such names than anybody waits for': {
    client: () => [
      call,
      frame(
        FRAME.DATA,
        0,
        1,
        grpcMessage(Buffer.from(Array.from({ length: 100_000 }, (_, index) => `fd:x:${index}`).join(' '))),
      ),
      reset(1),
    ],
    line: '99000 more names in its messages were not followed',
  },
};

function grpcMessage(body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** What an end has got. */
class Received {
  readonly #hash = createHash('sha1');
  bytes = 0;
  readonly fds: string[] = [];

  constructor(socket: FdSocket) {
    socket.on('error', () => {});
    socket.on('fds', (fds) => this.fds.push(...fds.map(contentOf)));
    socket.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      this.#hash.update(chunk);
    });
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }
}

/** Writes at one end, the last bytes with a descriptor, until all of it has come at the other. */
async function pass(from: FdSocket, received: Received, chunks: Iterable<Buffer>): Promise<void> {
  const hash = createHash('sha1');
  let bytes = 0;
  const fd = fileWith('behind all bytes');
  for (const chunk of [...chunks, Buffer.from('the last bytes')]) {
    bytes += chunk.length;
    hash.update(chunk);
    if (!from.write(chunk)) await settledWithin(3 * SOON_MS, 'a write', once(from, 'drain'));
  }
  from.writeWithFds('!', [fd]);
  hash.update('!');
  closeAll([fd]);
  await within(SOON_MS, `${bytes} bytes`, () => received.bytes >= bytes + 1);
  assert.equal(received.bytes, bytes + 1);
  assert.equal(received.digest(), hash.digest('hex'));
  assert.deepEqual(received.fds, ['behind all bytes']);
}

async function answers(connection: Ends): Promise<void> {
  connection.client.write('hello');
  const [chunk] = await settledWithin(SOON_MS, 'another connection', once(connection.server, 'data'));
  assert.equal(String(chunk), 'hello');
}

function assertSmall(proxy: Running, before: number): void {
  const more = proxy.megabytes() - before;
  assert.ok(more < MORE_MEGABYTES, `the proxy keeps ${more} MB`);
}

for (const [title, attack] of Object.entries(ATTACKS)) {
  test(`the relay goes on: ${title}`, async () => {
    const { client, server, proxy, another } = await ends({ json: attack.json });
    const before = proxy.megabytes();
    const atClient = new Received(client);
    const atServer = new Received(server);
    const fromClient = () => pass(client, atServer, attack.client?.() ?? []);
    const fromServer = () => pass(server, atClient, attack.server?.() ?? []);
    if (attack.serverBegins) await fromServer();
    await fromClient();
    if (!attack.serverBegins) await fromServer();
    await answers(await another());
    await within(SOON_MS, attack.line, () => proxy.lines.some((line) => line.includes(attack.line)));
    const givenUp = proxy.lines.filter((line) => line.includes(GIVEN_UP));
    assert.ok(givenUp.length <= 1, String(givenUp));
    assertSmall(proxy, before);
    assert.ok(proxy.lines.length < 10_000, `${proxy.lines.length} lines`);
  });
}

test('half frames of 16 MB are not kept', async () => {
  const { proxy, another } = await ends();
  const before = proxy.megabytes();
  const half = Buffer.concat([call, frame(FRAME.DATA, 0, 1, Buffer.alloc(16 * MIB - 1)).subarray(0, -10)]);
  for (let count = 0; count < 12; count++) {
    const { client, server } = await another();
    const received = new Received(server);
    client.write(half);
    await within(SOON_MS, 'the bytes', () => received.bytes === half.length);
  }
  await answers(await another());
  assertSmall(proxy, before);
});

test('descriptors that no call names are forgotten, one for each that comes', async () => {
  const { client, server, proxy } = await ends();
  const count = 4096 + 3;
  let came = 0;
  server.resume().on('fds', (fds) => {
    came += fds.length;
    closeAll(fds);
  });
  client.write(PREFACE);
  const fd = fileWith('');
  for (let sent = 0; sent < count; sent++) {
    if (!client.writeWithFds(frame(FRAME.UNKNOWN), [fd])) await once(client, 'drain');
    // No more than the kernel lets be on their way.
    await within(SOON_MS, 'the descriptors', () => sent - came < 50);
  }
  closeAll([fd]);
  await within(SOON_MS, 'the descriptors', () => came === count);
  await proxy.after('trouble', 3);
  client.destroy();
  server.destroy();
  await proxy.after('close');
  const troubles = proxy.events.filter(({ event }) => event === 'trouble');
  const forgotten = troubles.filter(({ trouble }) => String(trouble).includes('4096 have come since'));
  assert.deepEqual(
    forgotten.map(({ number }) => number),
    [1, 2, 3],
  );
  assert.equal(troubles.filter(({ trouble }) => String(trouble).startsWith('no call named it')).length, 4096);
});

test('where nobody reads what is printed, the relay goes on, and lines are left out', async () => {
  const { client, server, proxy, another } = await ends({ unread: true });
  const before = proxy.megabytes();
  const received = new Received(server);
  let bytes = PREFACE.length;
  client.write(PREFACE);
  const count = 200_000;
  for (let from = 0; from < count; from += 1000) {
    const calls = Array.from({ length: 1000 }, (_, index) => {
      const id = 2 * (from + index) + 1;
      return Buffer.concat([headers(id, { ':path': `/a/${'b'.repeat(100)}` }), reset(id)]);
    });
    const chunk = Buffer.concat(calls);
    bytes += chunk.length;
    if (!client.write(chunk)) await settledWithin(3 * SOON_MS, 'a write', once(client, 'drain'));
  }
  await within(3 * SOON_MS, 'the bytes', () => received.bytes === bytes);
  await answers(await another());
  assertSmall(proxy, before);
  proxy.read();
  await proxy.line(/\d+ lines are left out here/);
  client.write(headers(2 * count + 1, { ':path': '/and/now' }));
  await proxy.line(/"call".*"\/and\/now"/);
});

const HOSTILE = 'a\x1b[2J\x1b]0;title\x07\n  #9 forged\r\x9b31m';
/** In the encoding of headers, and with characters that change the direction, or break lines elsewhere. */
const HOSTILE_TEXT = encodeURIComponent(`${HOSTILE}\u202e\u2028\u2029\u200b\u{e0001}`);
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

for (const json of [false, true]) {
  test(`${json ? 'JSON' : 'lines for people'}: no text of an end moves the cursor or makes a line`, async () => {
    const { client, server, proxy } = await ends({ json });
    const received = new Received(server);
    client.on('error', () => {}).resume();
    const inode = '1/2';
    const fd = fileWith('');
    const request = Buffer.concat([
      PREFACE,
      callHeaders(1, `/x/${HOSTILE}`, { 'grpcfd-fds': `conn;${HOSTILE}.1.1.${inode}` }),
      message(1, { text: 'fd:forged:1' }),
      callHeaders(3, '/a/B'),
      callHeaders(5, '/a/B'),
    ]);
    client.writeWithFds(request, [fd]);
    closeAll([fd]);
    await within(SOON_MS, 'the request', () => received.bytes === request.length);
    const end = (id: number, status: string) =>
      headers(id, { ':status': '200', 'grpc-status': status, 'grpc-message': HOSTILE_TEXT }, true);
    server.write(Buffer.concat([end(1, HOSTILE), end(3, ''), headers(5, { ':status': HOSTILE }, true)]));
    server.end();
    client.end();
    await proxy.line(json ? /"event":"close"/ : /closed, /);
    for (const line of proxy.lines) {
      // The styles of a terminal are not used in a pipe.
      assert.doesNotMatch(line, UNPRINTABLE);
      assert.match(line, json ? /^\{"connection":1,/ : /^(?: {2}|! )#1 /);
    }
    assert.equal(proxy.lines.length, 12, proxy.lines.join('\n'));
    assert.ok(!proxy.lines.some((line) => /is fd:/.test(line) || /"named"/.test(line)));
    const empty = proxy.lines.find((line) => /an empty status/.test(line)) ?? '';
    assert.match(empty, json ? /"call":2/ : /call 2 \/a\/B ended/);
  });
}
