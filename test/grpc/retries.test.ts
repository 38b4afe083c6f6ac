import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { constants } from 'node:http2';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { streamOf } from '#src/grpc/internals/http2-server.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { HEDGE, RETRY, SLOW_RETRY } from '../support/policies.js';
import { dial, type Message, SECURITIES, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { within } from '../support/until.js';

trackDescriptors();

const unavailable = Object.assign(new Error('not this time'), { code: grpc.status.UNAVAILABLE });

function attemptsOf(metadata: grpc.Metadata): number {
  return Number(metadata.get('grpc-previous-rpc-attempts')[0] ?? 0) + 1;
}

/** Sends a new file whose descriptor stays open until the end of the test. */
function sendNew(fds: grpcfd.FdTransceiver, content: string): grpcfd.SentFd {
  const fd = fileWith(content);
  defer(() => closeSync(fd));
  return fds.sendFd(fd);
}

for (const security of SECURITIES) {
  for (const name of ['url', 'ref'] as const) {
    test(`${security}: every attempt of a retried call has the files, by ${name}`, async () => {
      const seen: string[] = [];
      const { address } = await serve(
        {
          unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
            const contents: string[] = [];
            for (const file of call.request['files'] as string[]) {
              contents.push(contentOf(await fds.recvFd(file)));
            }
            seen.push(contents.join());
            if (attemptsOf(call.metadata) < 4) throw unavailable;
            return { contents };
          }),
        },
        { security },
      );
      const client = await dial(address, { security, clientOptions: RETRY });
      const fds = grpcfd.callCredentials();
      const sent = ['a', 'b', 'c'].map((content) => sendNew(fds, content));
      const reply = await client.unary({ files: sent.map((each) => each[name]) }, fds.options());
      assert.deepEqual(reply, { contents: ['a', 'b', 'c'] });
      assert.deepEqual(seen, Array(4).fill('a,b,c'));
      await Promise.all(sent.map((each) => each.sent));
    });
  }
}

test('A call that ends while its next attempt waits makes no further attempt', async () => {
  let attempts = 0;
  // Its handler runs as soon as the stream of an attempt starts.
  const { address } = await serve({
    bidi: grpcfd.handler(() => {
      attempts++;
      return Promise.reject(unavailable);
    }),
  });
  const client = await dial(address, { clientOptions: SLOW_RETRY });
  const fds = grpcfd.callCredentials();
  const { ref } = sendNew(fds, 'content');
  const call = client.bidi(fds.options());
  call.on('error', () => {});
  call.resume();
  call.write({ ref });
  await within(5_000, 'the first attempt', () => attempts > 0);
  // Until its status is with the client.
  await delay(30);
  call.cancel();
  await new Promise((resolve) => call.on('status', resolve));
  const before = attempts;
  await delay(500);
  assert.equal(attempts, before);
});

test('A call whose attempts all fail releases its files', async () => {
  const { address } = await serve({ unary: grpcfd.handler(() => Promise.reject(unavailable)) });
  const client = await dial(address, { clientOptions: RETRY });
  const fds = grpcfd.callCredentials();
  const { sent } = sendNew(fds, 'in vain');
  await assert.rejects(client.unary({}, fds.options()), { code: grpc.status.UNAVAILABLE });
  await sent;
});

test('A stream that the server refuses is tried again with the files', async () => {
  let attempts = 0;
  const { address } = await serve({
    unary: (call, callback) => {
      attempts++;
      if (attempts === 1) {
        streamOf(call)?.close(constants.NGHTTP2_REFUSED_STREAM);
        return;
      }
      grpcfd
        .fromCall(call)
        .recvFd(String(call.request['file']))
        .then((fd) => callback(null, { content: contentOf(fd) }), callback);
    },
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const { ref, sent } = sendNew(fds, 'again');
  assert.deepEqual(await client.unary({ file: ref }, fds.options()), { content: 'again' });
  assert.equal(attempts, 2);
  await sent;
});

test('Every hedged attempt of a call has the files', async () => {
  const contents: string[] = [];
  let allHere = () => {};
  const three = new Promise<void>((resolve) => {
    allHere = resolve;
  });
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      contents.push(contentOf(await fds.recvFd(String(call.request['file']))));
      if (contents.length === 3) allHere();
      await three;
      return {};
    }),
  });
  const client = await dial(address, { clientOptions: HEDGE });
  const fds = grpcfd.callCredentials();
  const { ref, sent } = sendNew(fds, 'hedged');
  await client.unary({ file: ref }, fds.options());
  assert.deepEqual(contents, ['hedged', 'hedged', 'hedged']);
  await sent;
});

test('A file that is sent while an attempt runs travels with that attempt and with the next one', async () => {
  const contents: string[] = [];
  const { address } = await serve({
    bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
      for await (const request of call) {
        const { file } = request as Message;
        contents.push(contentOf(await fds.recvFd(String(file))));
        if (attemptsOf(call.metadata) === 1) throw unavailable;
        call.write({});
      }
    }),
  });
  const client = await dial(address, { clientOptions: RETRY });
  await new Promise<void>((resolve, reject) => {
    client.grpc.waitForReady(Date.now() + 5_000, (error) => (error ? reject(error) : resolve()));
  });
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options());
  const opened = new Promise((resolve) => setImmediate(resolve));
  await opened;
  call.write({ file: sendNew(fds, 'on the way').url });
  call.end();
  for await (const reply of call) assert.deepEqual(reply, {});
  assert.deepEqual(contents, ['on the way', 'on the way']);
});
