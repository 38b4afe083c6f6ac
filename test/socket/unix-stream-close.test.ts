import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '#src/native/binding.js';
import { UnixStream } from '#src/socket/unix-stream.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { Endpoint, streamPair } from '../support/stream-pair.js';

trackDescriptors();

test('close() settles all running operations, and the peer reads the end of file', async () => {
  const [a, b] = native.socketPair();
  native.testing.setSendBuffer(a, 1);
  const sender = new Endpoint(a);
  const written = sender.write(Buffer.alloc(100_000));
  const shut = sender.shutdown();
  const queued = [sender.queue(0), sender.queue(0)];
  sender.close();
  assert.equal(sender.stream.closed, true);
  assert.equal(sender.stream.pendingFds, 0);
  await assert.rejects(written, { code: 'ECANCELED' });
  await assert.rejects(shut, { code: 'ECANCELED' });
  for (const sent of queued) await assert.rejects(sent, { code: 'ECANCELED' });
  const receiver = new Endpoint(b);
  defer(() => receiver.close());
  receiver.stream.readStart();
  await receiver.until(() => receiver.ended);
});

test('A closed stream rejects writes and descriptors, and ignores all other calls', async () => {
  const [a] = streamPair();
  a.close();
  a.close();
  a.stream.readStart();
  a.stream.readStop();
  a.stream.ref();
  a.stream.unref();
  await assert.rejects(a.queue(0), { code: 'ECANCELED' });
  await assert.rejects(a.write('x'), { code: 'ECANCELED' });
  await assert.rejects(a.shutdown(), { code: 'ECANCELED' });
});

for (const moment of ['onDescriptors', 'onData', 'onEnd'] as const) {
  test(`After close() in ${moment}, no listener is called any more`, async () => {
    const [a, b] = native.socketPair();
    const peer = new Endpoint(a);
    for (let index = 0; index < 3; index++) {
      peer.queue(0);
      await peer.write('x');
    }
    peer.close();
    const log: string[] = [];
    await new Promise<void>((resolve) => {
      const hear = (what: string) => {
        log.push(what);
        if (what === moment) {
          stream.close();
          setImmediate(resolve);
        }
      };
      const stream = new UnixStream(b, {
        onDescriptors: (fds) => {
          native.closeAll(fds);
          hear('onDescriptors');
        },
        onData: () => hear('onData'),
        onEnd: () => hear('onEnd'),
        onError: () => hear('onError'),
      });
      stream.readStart();
    });
    const all = ['onDescriptors', 'onData', 'onDescriptors', 'onData', 'onDescriptors', 'onData', 'onEnd'];
    assert.deepEqual(log, all.slice(0, all.indexOf(moment) + 1));
  });
}

test('A stream can be closed when a descriptor settles in the middle of a write', async () => {
  const [a] = streamPair();
  for (let index = 0; index < 100; index++) a.queue(0);
  const fd = native.duplicate(0);
  const settle = () => {
    native.close(fd);
    a.close();
  };
  a.stream.queueDescriptor({ fd, settle });
  const sent = a.queue(0);
  const closing = a.queue(0);
  await assert.rejects(a.write('a long enough write'), { code: 'ECANCELED' });
  await Promise.allSettled([sent, closing]);
  assert.equal(a.stream.closed, true);
});

test('A stream can be closed in the callback of a write and in the callback of a shutdown', async () => {
  const [a, b] = streamPair();
  await a.write('x');
  await a.shutdown();
  a.close();
  await b.until(() => b.ended);
  b.close();
});

test('A listener that throws causes an uncaught exception, and the stream goes on', async () => {
  const [a, b] = native.socketPair();
  const sender = new Endpoint(a);
  defer(() => sender.close());
  const heard: string[] = [];
  const uncaught = new Promise<Error>((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve);
  });
  defer(() => process.setUncaughtExceptionCaptureCallback(null));
  const again = new Promise<void>((resolve) => {
    const stream = new UnixStream(b, {
      onDescriptors: () => {},
      onData: (chunk) => {
        heard.push(chunk.toString());
        if (heard.length === 1) throw new Error('from the listener');
        resolve();
      },
      onEnd: () => {},
      onError: () => {},
    });
    defer(() => stream.close());
    stream.readStart();
  });
  await sender.write('one');
  assert.equal((await uncaught).message, 'from the listener');
  await sender.write('two');
  await again;
  assert.deepEqual(heard, ['one', 'two']);
});

test('A stream that no variable refers to stays open, as an open socket does', async () => {
  const [a, b] = native.socketPair();
  const received = new Promise<string>((resolve) => {
    const stream = new UnixStream(b, {
      onDescriptors: () => {},
      onData: (chunk) => {
        stream.close();
        resolve(chunk.toString());
      },
      onEnd: () => {},
      onError: () => {},
    });
    stream.readStart();
  });
  const sender = new Endpoint(a);
  defer(() => sender.close());
  for (let index = 0; index < 3; index++) {
    globalThis.gc?.();
    await new Promise(setImmediate);
  }
  await sender.write('still there');
  assert.equal(await received, 'still there');
});
