import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { uniqueId } from '#src/grpc/unique-id.js';
import { native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { conversation, converse, KINDS } from '../support/kinds.js';
import { assertConnected, closing, openFileOf } from '../support/open-file.js';
import { dial, type Message, SECURITIES, serve, type TestHandlers } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

/** Open files, many of which share an inode. The end of the test closes them. */
function collidingFiles() {
  const path = join(temporaryDirectory(), 'file');
  writeFileSync(path, 'the content of a file');
  const [pipeOut, pipeIn] = native.testing.pipe();
  const files = {
    pipeOut,
    pipeIn,
    eventFd: native.testing.eventFd(),
    otherEventFd: native.testing.eventFd(),
    epoll: native.testing.epoll(),
    readOnly: openSync(path, 'r'),
    readWrite: openSync(path, 'r+'),
    appending: openSync(path, 'a'),
    atOffset4: openSync(path, 'r'),
    atOffset11: openSync(path, 'r'),
  };
  defer(() => Object.values(files).forEach(closeSync));
  writeSync(files.eventFd, new BigUint64Array([1n]));
  writeSync(files.otherEventFd, new BigUint64Array([2n]));
  readSync(files.atOffset4, Buffer.alloc(4));
  readSync(files.atOffset11, Buffer.alloc(11));
  return files;
}

type Name = keyof ReturnType<typeof collidingFiles>;

/** All colliding files, and one of them ten times more. */
function manyToSend(): number[] {
  const files = collidingFiles();
  return [...Object.values(files), ...Array<number>(10).fill(files.readWrite)];
}

/** Names the open file of each request, and sends the file back. */
const mirror = conversation(async (request, fds) =>
  closing(await fds.recvFd(String(request['file'])), (fd) => ({
    was: openFileOf(fd),
    file: fds.sendFd(fd).ref,
  })),
);

async function assertMirrored(
  fds: grpcfd.FdTransceiver,
  sent: readonly number[],
  replies: readonly Message[],
): Promise<void> {
  const expected = sent.map(openFileOf);
  assert.deepEqual(
    replies.map(({ was }) => was),
    expected,
  );
  const back: string[] = [];
  for (const { file } of replies) back.push(closing(await fds.recvFd(String(file)), openFileOf));
  assert.deepEqual(back, expected);
}

test('The sample files share inodes, and the tests can tell them apart', () => {
  const files = Object.values(collidingFiles());
  assert.equal(new Set(files.map(openFileOf)).size, files.length);
  // The inodes of a pipe, of files without their own inode, and of a regular file.
  assert.equal(new Set(files.map(grpcfd.fdToUrl)).size, 3);
});

for (const security of SECURITIES) {
  for (const kind of KINDS) {
    test(`${security}, ${kind}: files that share an inode arrive as the right files in both directions of one call`, async () => {
      const sent = manyToSend();
      const { address } = await serve(mirror, { security });
      const client = await dial(address, { security });
      const fds = grpcfd.callCredentials();
      const requests = sent.map((fd) => ({ file: fds.sendFd(fd).ref }));
      const replies = await converse(client, kind, requests, fds.options());
      await assertMirrored(fds, sent, replies);
      fds.close();
    });
  }
}

test('Files that share an inode arrive as the right files in both directions of a running stream', async () => {
  const sent = manyToSend();
  const { address } = await serve(mirror);
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options());
  const replies: Message[] = [];
  const incoming = call[Symbol.asyncIterator]();
  for (const fd of sent) {
    call.write({ file: fds.sendFd(fd).ref });
    replies.push((await incoming.next()).value);
  }
  await assertMirrored(fds, sent, replies);
  call.end();
  await incoming.next();
  fds.close();
});

for (const kind of KINDS) {
  test(`${kind}: received() yields files that share an inode as the right files, in the order of sending`, async () => {
    const seen: string[] = [];
    const { address } = await serve(
      receivingInOrder(async (fds) => {
        for await (const file of fds.received()) {
          await using own = file;
          seen.push(openFileOf(own.fd));
        }
      }),
    );
    const client = await dial(address);
    const sent = manyToSend();
    const [first, second] = [grpcfd.callCredentials(), grpcfd.callCredentials()];
    for (const fd of sent) first.sendFd(fd);
    second.sendFd(0);
    await converse(client, kind, [{}], second.options(first.options()));
    assert.deepEqual(seen, [...sent, 0].map(openFileOf));
    first.close();
    second.close();
  });
}

/** Handlers of all four kinds that only call `receive`. */
function receivingInOrder(receive: (fds: grpcfd.FdServerCall) => Promise<void>): TestHandlers {
  const unary = grpcfd.handler(async (_call: grpc.ServerUnaryCall<Message, Message>, fds) => {
    await receive(fds);
    return { replies: [] };
  });
  const clientStream = grpcfd.handler(async (call: grpc.ServerReadableStream<Message, Message>, fds) => {
    for await (const _ of call) await receive(fds);
    return { replies: [] };
  });
  const serverStream = grpcfd.handler((_call: grpc.ServerWritableStream<Message, Message>, fds) =>
    receive(fds),
  );
  const bidi = grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
    for await (const _ of call) await receive(fds);
  });
  return { unary, clientStream, serverStream, bidi };
}

test('With refs() and recvFiles(), each field of a message is the right file in both directions', async () => {
  const files = collidingFiles();
  const names = Object.keys(files) as Name[];
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      await using received = await fds.recvFiles(call.request as Record<Name, string>, names);
      const was = Object.fromEntries(names.map((name) => [name, openFileOf(received[name].fd)]));
      return { was, ...fds.refs(received) };
    }),
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const reply = await client.unary(fds.refs(files), fds.options());
  const expected = Object.fromEntries(names.map((name) => [name, openFileOf(files[name])]));
  assert.deepEqual(reply['was'], expected);
  await using received = await fds.recvFiles(reply as Record<Name, string>, names);
  assert.deepEqual(Object.keys(received), names);
  for (const name of names) assert.equal(openFileOf(received[name].fd), expected[name], name);
  assertConnected(files.pipeIn, received.pipeOut.fd);
  assertConnected(received.pipeIn.fd, files.pipeOut);
  fds.close();
});

test('recvFiles() receives all files or none, and closes them together', async () => {
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      const request = call.request as { good: string; bad: string };
      const both = fds.recvFiles(request, ['good', 'bad']);
      await assert.rejects(both, { reason: 'ERR_GRPCFD_WRONG_CONNECTION' });
      const files = await fds.recvFiles({ good: request.good, same: request.good }, ['good', 'same', 'good']);
      const fd = files.same.release();
      await files[Symbol.asyncDispose]();
      assert.equal(files.good.closed, true);
      return { stillOpen: closing(fd, openFileOf) };
    }),
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const reply = await client.unary({ ...fds.refs({ good: 0 }), bad: 'fd:elsewhere:0' }, fds.options());
  assert.deepEqual(reply, { stillOpen: openFileOf(0) });
  fds.close();
});

test('A reference of the client that a handler echoes does not name a descriptor of the server', async () => {
  const { address } = await serve({
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      for await (const request of call) {
        fds.sendFd(0);
        call.write(request);
      }
    }),
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const attached = fds.sendFd(0).ref;
  const call = client.bidi(fds.options());
  const incoming = call[Symbol.asyncIterator]();
  for (const file of [attached, undefined]) {
    call.write({ file: file ?? fds.sendFd(0).ref });
    const { value } = await incoming.next();
    await assert.rejects(fds.recvFd(value.file), { reason: 'ERR_GRPCFD_WRONG_CONNECTION' });
  }
  call.end();
  await incoming.next();
  fds.close();
});

test('The id of a connection with the letter of its sender is never the id of credentials', () => {
  const ids = new Set(Array.from({ length: 2000 }, uniqueId));
  assert.equal(ids.size, 2000);
  for (const id of ids) assert.ok(!ids.has(`${id}c`) && !ids.has(`${id}s`), id);
});
