/** `grpcfd call` and servers that answer what no server should. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import { encodeBytes } from '#src/cli/call/wire.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { freshAddress } from '../support/service.js';
import { PROTO } from './store.js';
import { tool } from './tool.js';

trackDescriptors();

interface Answers {
  /** The trailer grpc-status of calls. */
  readonly status?: string;
  /** The reply of calls. Default: none. */
  readonly reply?: Buffer;
  /** The answer to each question of reflection. */
  readonly reflect?: (count: number) => Buffer;
}

function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A server of node:http2. `counts` has how many questions it was asked. */
async function serveOdd({ status = '0', reply, reflect }: Answers) {
  const counts = { questions: 0 };
  const server = http2.createServer();
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => void sessions.add(session.on('error', () => {})));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status, 'grpc-message': 'bad' }));
    if (reflect !== undefined && headers[':path']?.includes('Reflection')) {
      stream.on('data', () => stream.write(framed(reflect(++counts.questions))));
      return;
    }
    stream.resume().end(reply === undefined ? undefined : framed(reply));
  });
  const address = freshAddress();
  server.listen(address.slice('unix:'.length));
  await once(server, 'listening');
  defer(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { address, counts };
}

const callOf = (address: string, ...how: string[]) => tool(['call', address, 'store.Store/Put', ...how]);

for (const [status, said] of [
  ['256', 'the status 256 came'],
  ['512', 'the status 512 came'],
  ['99', 'the status 99 came'],
  ['-1', 'the status -1 came'],
  ['1.5', 'the status 1.5 came'],
  ['5x', 'a status that is not a number came'],
] as const) {
  test(`the status ${status} of a server ends the tool with 2, UNKNOWN, and the text says what came`, async () => {
    const { address } = await serveOdd({ status });
    assert.deepEqual(await callOf(address, '--proto', PROTO), {
      code: 2,
      stdout: '',
      stderr: `grpcfd: UNKNOWN (${said}, which gRPC does not define): bad\n`,
    });
  });
}

test('a reply that is none of its type ends the tool with 13, INTERNAL', async () => {
  const { address } = await serveOdd({ reply: Buffer.of(7) });
  const { code, stdout, stderr } = await callOf(address, '--proto', PROTO);
  assert.deepEqual({ code, stdout }, { code: 13, stdout: '' }, stderr);
  assert.match(stderr, /^grpcfd: INTERNAL: the reply cannot be decoded as store\.PutReply: .*\n$/);
});

const varint = (value: bigint): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127n; rest /= 128n) bytes.push(Number(rest % 128n) + 128);
  return Buffer.from([...bytes, Number(rest)]);
};

for (const status of [0n, 256n, 2n ** 40n, 2n ** 62n]) {
  test(`the error ${status} of a reflection service ends the tool with 2, UNKNOWN`, async () => {
    const error = Buffer.concat([Buffer.of(8), varint(status), encodeBytes(2, 'nope')]);
    const { address } = await serveOdd({ reflect: () => encodeBytes(7, error) });
    const { code, stdout, stderr } = await callOf(address, '--reflection');
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, stderr);
    assert.match(stderr, /does not know store\.Store: UNKNOWN \(the status \d+ came, .*\): nope\n$/);
  });
}

/** The answer of reflection that has one file. */
const file = (name: string, content: Buffer) =>
  encodeBytes(4, encodeBytes(1, Buffer.concat([encodeBytes(1, name), content])));

test('a reflection service that answers with another file is asked once for each name', async () => {
  const { address, counts } = await serveOdd({ reflect: () => file('b.proto', encodeBytes(3, 'a.proto')) });
  const { code, stderr } = await callOf(address, '--reflection');
  assert.equal(counts.questions, 2);
  assert.ok(code !== 0 && code !== null, stderr);
  assert.match(stderr, /^grpcfd: .*\n$/);
});

test('a reflection service that names ever more files is asked for 10 000', async () => {
  const { address, counts } = await serveOdd({
    reflect: (count) => file(`${count}.proto`, encodeBytes(3, `${count + 1}.proto`)),
  });
  const { code, stderr } = await callOf(address, '--reflection');
  assert.deepEqual([code, counts.questions <= 10_001], [8, true], stderr);
  assert.match(stderr, /^grpcfd: reflection failed: RESOURCE_EXHAUSTED: .* more than 10000 files .*\n$/);
});

test('a reflection service that sends ever more bytes is asked until they are 64 MiB', async () => {
  const filler = encodeBytes(12, Buffer.alloc(3 * 1024 * 1024, 0x61));
  const { address, counts } = await serveOdd({
    reflect: (count) => file(`${count}.proto`, Buffer.concat([encodeBytes(3, `${count + 1}.proto`), filler])),
  });
  const { code, stderr } = await callOf(address, '--reflection');
  assert.deepEqual([code, counts.questions], [8, 22], stderr);
  assert.match(stderr, /more than 67108864 bytes/);
});

test('files of a reflection service that cannot be loaded end the tool with 13, INTERNAL', async () => {
  const { address } = await serveOdd({ reflect: () => file('a.proto', encodeBytes(4, Buffer.of(7))) });
  const { code, stderr } = await callOf(address, '--reflection');
  assert.equal(code, 13, stderr);
  assert.match(stderr, /^grpcfd: INTERNAL: the server's reflection sent files that cannot be loaded: .*\n$/);
});
