/** `sendDatagram()`. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { listen, sendDatagram } from 'grpcfd/socket';
import { close, native } from '#src/native/binding.js';
import { datagramReceiver } from '../support/datagram-receiver.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { contentOf, fileWith, temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

for (const kind of ['path', 'abstract name'] as const) {
  test(`A datagram brings its bytes and its descriptors to a ${kind}`, async () => {
    const address = kind === 'path' ? join(temporaryDirectory(), 's') : `\0grpcfd-notify-${process.pid}`;
    const receiver = datagramReceiver(address);
    const files = ['one', 'two'].map(fileWith);
    const sending = sendDatagram(address, 'FDSTORE=1\nFDNAME=ä', files);
    // It had borrowed them until it returned.
    files.forEach(close);
    await sending;
    const { bytes, fds } = receiver.next();
    assert.equal(String(bytes), 'FDSTORE=1\nFDNAME=ä');
    assert.deepEqual(fds.map(contentOf), ['one', 'two']);
    await sendDatagram(address, Buffer.from([0, 255]));
    assert.deepEqual(receiver.next(), { bytes: Buffer.from([0, 255]), fds: [] });
  });
}

/** Fills the queue of the receiver. */
async function fill(address: string): Promise<number> {
  for (let sent = 0; ; sent++) {
    const full = native.sendDatagram(Buffer.from(address), Buffer.from('full'), new Int32Array(0), 0);
    if (full !== 0) return sent;
  }
}

test('While the queue is full it waits, with duplicates of the descriptors', async () => {
  const address = join(temporaryDirectory(), 's');
  const receiver = datagramReceiver(address);
  const sent = await fill(address);
  assert.ok(sent > 0);
  const file = fileWith('waited');
  const bytes = Buffer.from('late');
  const sending = sendDatagram(address, bytes, [file]);
  close(file);
  bytes.fill(0);
  await new Promise(setImmediate);
  for (let count = 0; count < sent; count++) receiver.next();
  await sending;
  const late = receiver.next();
  assert.equal(String(late.bytes), 'late');
  assert.deepEqual(late.fds.map(contentOf), ['waited']);
});

test('An abort ends the wait, and nothing is sent', async () => {
  const address = join(temporaryDirectory(), 's');
  const receiver = datagramReceiver(address);
  const sent = await fill(address);
  const controller = new AbortController();
  const { signal } = controller;
  const sending = sendDatagram(address, 'x', [0], { signal });
  setImmediate(() => controller.abort(new Error('no more')));
  await assert.rejects(sending, { message: 'no more' });
  for (let count = 0; count < sent; count++) receiver.next();
  assert.throws(() => receiver.next(), /EAGAIN/);
  await assert.rejects(sendDatagram(address, 'x', [], { signal }), { message: 'no more' });
});

test('A datagram that cannot be sent fails with the reason', async () => {
  const directory = temporaryDirectory();
  const stream = await listen({ path: join(directory, 'stream') });
  defer(() => stream.close());
  const address = join(directory, 's');
  datagramReceiver(address);
  mkdirSync(join(directory, 'd'));
  for (const [path, bytes, fds, code] of [
    [join(directory, 'nobody'), 'x', [], 'ENOENT'],
    [join(directory, 'd'), 'x', [], 'ECONNREFUSED'],
    ['\0grpcfd-nobody', 'x', [], 'ECONNREFUSED'],
    [stream.address, 'x', [], 'EPROTOTYPE'],
    [address, Buffer.alloc(10_000_000), [], 'EMSGSIZE'],
    [address, 'x', [1_000_000], 'EBADF'],
    [address, 'x', new Array(254).fill(0), 'EINVAL'],
    ['x'.repeat(109), 'x', [], 'ENAMETOOLONG'],
  ] as const) {
    await assert.rejects(sendDatagram(path, bytes, fds), { code, syscall: 'sendmsg' });
  }
  const nobody = join(directory, 'nobody');
  const message = `ENOENT: no such file or directory, sendmsg ${nobody}`;
  await assert.rejects(sendDatagram(nobody, 'x'), { message, address: nobody });
});

test('sendDatagram() refuses wrong arguments, and names them', async () => {
  const TYPE = 'ERR_INVALID_ARG_TYPE';
  for (const [args, code, message] of [
    [[1, 'x'], TYPE, /^path must be a string/],
    [['', 'x'], 'ERR_INVALID_ARG_VALUE', /is not the address/],
    [['/s', 1], TYPE, /^bytes must be a string or a Uint8Array/],
    [['/s', 'x', 3], TYPE, /descriptors must be an array/],
    [['/s', 'x', [0.5]], TYPE, /a descriptor must be/],
    [['/s', 'x', [], { signal: 1 }], TYPE, /^signal must be an AbortSignal/],
  ] as const) {
    await assert.rejects(sendDatagram(...(args as unknown as Parameters<typeof sendDatagram>)), {
      code,
      message,
    });
  }
});
