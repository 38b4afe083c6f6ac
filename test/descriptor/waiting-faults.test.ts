/** Waiting for files that behave oddly. */
import assert from 'node:assert/strict';
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { test } from 'node:test';
import { createSharedMemory, ReceivedFile } from 'grpcfd';
import { descriptorOfDatagramSocket } from '#src/internals/dgram-state.js';
import { native } from '#src/native/binding.js';
import { WAY } from '#src/native/file-types.js';
import { runFixture } from '../support/child.js';
import { failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { within } from '../support/until.js';

trackDescriptors();

const until = (condition: () => boolean) => within(10_000, 'the condition', condition);

test('A device that may bring nothing is not read, unless it is exclusive; one that is always ready is read', async (t) => {
  await using zero = new ReceivedFile(openSync('/dev/zero', 'r'));
  assert.equal((await zero.read(Buffer.alloc(4))).bytesRead, 4);
  await using random = new ReceivedFile(openSync('/dev/urandom', 'r'));
  assert.equal((await random.read(Buffer.alloc(4))).bytesRead, 4);
  if (process.getuid?.() !== 0) return t.skip('takes root');
  await using log = new ReceivedFile(openSync('/dev/kmsg', 'r'));
  const expected = { reason: 'ERR_GRPCFD_WOULD_BLOCK', details: /exclusive: true/ };
  await assert.rejects(log.read(Buffer.alloc(8192)), expected);
  await assert.rejects(text(log.createReadStream()), expected);
  const stream = log.createReadStream({ exclusive: true, signal: AbortSignal.timeout(50) });
  await assert.rejects(finished(stream.resume()), { name: 'AbortError' });
});

test('A stream goes on after a listener of it has thrown, and so does what is written to its file', async () => {
  const { stdout } = await runFixture('./fixtures/throwing-reader.js', import.meta.url, [], {}, 20_000);
  assert.equal(stdout, 'of a listener\nwent on\n');
});

test('An empty datagram does not end a stream', async () => {
  const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await using file = new ReceivedFile(native.duplicate(descriptorOfDatagramSocket(socket) ?? -1));
  socket.close();
  const sender = dgram.createSocket('udp4');
  const stream = file.createReadStream();
  const chunks: string[] = [];
  stream.on('data', (chunk) => chunks.push(String(chunk)));
  for (const each of ['one', '', 'two']) sender.send(each, port, '127.0.0.1');
  await until(() => chunks.length === 2);
  assert.deepEqual(chunks, ['one', 'two']);
  stream.destroy();
  sender.close();
});

test('The slave of a pty whose master has gone is at its end', async () => {
  const [master, slave] = native.testing.terminal();
  await using file = new ReceivedFile(slave);
  closeSync(master);
  assert.equal(await file.readFile('utf8'), '');
  await assert.rejects(file.write(Buffer.from('x')), { code: 'EIO' });
});

test('A pipe is not made non-blocking for an exclusive user, who does not need that', async () => {
  const [out, into] = native.testing.pipe();
  native.setNonBlocking(out, false);
  await using file = new ReceivedFile(out);
  const reading = file.read(Buffer.alloc(1), { exclusive: true });
  closeSync(into);
  assert.equal((await reading).bytesRead, 0);
  assert.equal(native.statusFlags(file.fd) & 0o4000, 0);
});

test('A terminal that somebody makes blocking again does not stop the event loop', async () => {
  const [master, slave] = native.testing.terminal();
  await using file = new ReceivedFile(master);
  const reading = file.read(Buffer.alloc(8), { exclusive: true, signal: AbortSignal.timeout(200) });
  native.setNonBlocking(master, false);
  await assert.rejects(reading, { reason: 'ERR_GRPCFD_ABORTED' });
  closeSync(slave);
});

test('Memory that is closed while it is being written ends the stream and the transfer, and not the process', async () => {
  const [out, into] = native.testing.pipe();
  await using file = new ReceivedFile(into);
  const memory = createSharedMemory(1024 * 1024);
  const stream = file.createWriteStream();
  const failed = once(stream, 'error');
  stream.write(memory.bytes);
  const other = new Uint8Array(8);
  await using reader = new ReceivedFile(out);
  memory.close();
  const drain = () => {
    while (native.readNow(reader.fd, WAY.PIPE, Buffer.alloc(65536)) > 0);
  };
  drain();
  const [error] = await failed;
  drain();
  assert.match(error.message, /the memory of the buffer was closed or transferred/);
  const reading = failure(reader.read(other));
  structuredClone(other.buffer, { transfer: [other.buffer] });
  await file.write(Buffer.from('x'));
  assert.match(String(await reading), /the memory of the buffer was closed or transferred/);
});

test('A full table of descriptors fails what waits, and nothing that comes later', async () => {
  const { stdout } = await runFixture('./fixtures/full-table-wait.js', import.meta.url, [], {}, 20_000);
  assert.equal(stdout, 'EMFILE\n1\n');
});
