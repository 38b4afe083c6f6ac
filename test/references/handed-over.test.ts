/** A descriptor has one owner: what one call does takes nothing from another, and what was received is its receiver's alone. */
import assert from 'node:assert/strict';
import { closeSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { conversation, converse, KINDS } from '../support/kinds.js';
import { pipeTo } from '../support/pipe.js';
import { dial, type Message, SECURITIES, serve } from '../support/service.js';
import { contentOf, fileWith, temporaryDirectory } from '../support/temporary.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

const SOON_MS = 5_000;

/** The connections of one end. */
function watched() {
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  const held = () => connections.reduce((sum, connection) => sum + connection.stats().heldFds, 0);
  return { options: { onConnection }, held };
}

/** Sends a file with that content; nothing is left to close. */
function sendNew(fds: grpcfd.FdTransceiver, content: string): grpcfd.SentFd {
  const fd = fileWith(content);
  try {
    return fds.sendFd(fd);
  } finally {
    closeSync(fd);
  }
}

const reasonOf = ({ reason }: grpcfd.GrpcFdError) => reason;

for (const security of SECURITIES) {
  for (const kind of KINDS) {
    test(`${security}, ${kind}: a call that receives by url and closes takes nothing from another with that inode`, async () => {
      const path = join(temporaryDirectory(), 'file');
      writeFileSync(path, 'of both');
      const service = conversation((_request, fds) => {
        const { url, ref } = fds.sendFilename(path, { flags: 'r' });
        return Promise.resolve({ url, ref });
      });
      const { address } = await serve(service, { security });
      const client = await dial(address, { security });
      const [first, second] = [grpcfd.callCredentials(), grpcfd.callCredentials()];
      const [[ofFirst], [ofSecond]] = await Promise.all([
        converse(client, kind, [{}], first.options()),
        converse(client, kind, [{}], second.options()),
      ]);
      assert.equal(contentOf(await first.recvFd(String(ofFirst?.['url']))), 'of both');
      first.close();
      assert.equal(contentOf(await second.recvFd(String(ofSecond?.['ref']))), 'of both');
      second.close();
    });

    test(`${security}, ${kind}: of what came with a call, a second receive by ref fails, whichever way it is asked for`, async () => {
      const { address } = await serve(
        conversation(async (request, fds) => {
          const { ref, url } = request as { ref: string; url: string };
          const contents = [
            await fds.recvFd(ref, { keep: true }).then(contentOf),
            await fds.recvFd(ref).then(contentOf),
          ];
          const again = [
            fds.recvFd(ref),
            fds.recvFile(ref),
            fds.recvFd(ref, { keep: true }),
            fds.recvFd(ref, { timeoutMs: SOON_MS }),
            fds.recvFiles({ ref }, ['ref']),
            fds.recvFd(url),
          ].map((receive) => receive.then(() => 'received', reasonOf));
          return { contents, again: await Promise.all(again) };
        }),
        { security },
      );
      const client = await dial(address, { security });
      using fds = grpcfd.callCredentials();
      const { ref, url } = sendNew(fds, 'once');
      const [reply] = await converse(client, kind, [{ ref, url }], fds.options());
      assert.deepEqual(reply, {
        contents: ['once', 'once'],
        again: Array(6).fill('ERR_GRPCFD_ALREADY_RECEIVED'),
      });
    });
  }

  test(`${security}: pipes sent in the middle of a stream end when their receiver closes them, while the call runs`, async () => {
    const server = watched();
    const { address } = await serve(
      {
        bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
          for await (const request of call) {
            const fd = await fds.recvFd(String((request as Message)['file']));
            writeSync(fd, 'used');
            closeSync(fd);
            const back = pipeTo((into) => fds.sendFd(into));
            call.write({ file: back.given.ref });
            back
              .end()
              .then((text) => call.write({ text }))
              .catch((error) => call.destroy(error as Error));
          }
        }),
      },
      { security, options: server.options },
    );
    const client = await dial(address, { security });
    using fds = grpcfd.callCredentials();
    const call = client.bidi(fds.options());
    defer(() => call.on('error', () => {}).cancel());
    const replies = call[Symbol.asyncIterator]();
    // What is sent once the call has its connection is not attached, and needed for no other attempt.
    await within(SOON_MS, 'connected', () => call.getPeer() !== 'unknown');
    const pipes = Array.from({ length: 20 }, () => pipeTo((into) => fds.sendFd(into)));
    for (const { given } of pipes) call.write({ file: given.ref });
    const texts: unknown[] = [];
    while (texts.length < pipes.length) {
      const { value } = await settledWithin(SOON_MS, 'a reply', replies.next());
      if (value.text !== undefined) texts.push(value.text);
      else {
        const fd = await fds.recvFd(value.file);
        writeSync(fd, 'used too');
        closeSync(fd);
      }
    }
    assert.deepEqual(texts, Array(20).fill('used too'));
    assert.equal(server.held(), 0);
    // The client may try the call again until it has response headers, and here they have come.
    for (const { end } of pipes) assert.equal(await settledWithin(SOON_MS, 'the end', end()), 'used');
    call.end();
    await replies.next();
  });
}

test('a stream of hundreds of messages with a descriptor each holds none that was received', async () => {
  const [server, client] = [watched(), watched()];
  let most = 0;
  const { address } = await serve(
    {
      bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
        for await (const request of call) {
          closeSync(await fds.recvFd(String((request as Message)['file'])));
          most = Math.max(most, server.held());
          call.write({ file: sendNew(fds, 'answer').ref });
        }
      }),
    },
    { options: server.options },
  );
  const stub = await dial(address, { options: client.options });
  using fds = grpcfd.callCredentials();
  const call = stub.bidi(fds.options());
  defer(() => call.on('error', () => {}).cancel());
  const replies = call[Symbol.asyncIterator]();
  for (let count = 0; count < 400; count++) {
    call.write({ file: sendNew(fds, 'question').ref });
    const { value } = await replies.next();
    closeSync(await fds.recvFd(value.file));
    most = Math.max(most, client.held());
  }
  // Of the first message, the client's may still be on the way to be let go of.
  assert.ok(most <= 1, `${most} were held`);
  call.end();
  await replies.next();
});

test('received() skips what was received by name, and gives the rest in order', async () => {
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      const refs = call.request['refs'] as string[];
      const named = [
        await fds.recvFd(refs[1] ?? '').then(contentOf),
        await fds.recvFd(refs[2] ?? '', { keep: true }).then(contentOf),
      ];
      const received: string[] = [];
      for (let time = 0; time < 2; time++) {
        for await (const file of fds.received()) {
          received.push(await file.readFile('utf8'));
          await file.close();
        }
      }
      return { named, received };
    }),
  });
  const client = await dial(address);
  using fds = grpcfd.callCredentials();
  const refs = ['a', 'b', 'c', 'd'].map((content) => sendNew(fds, content).ref);
  const reply = await client.unary({ refs }, fds.options());
  assert.deepEqual(reply, { named: ['b', 'c'], received: ['a', 'c', 'd'] });
});

test('with keep, a handler forwards one descriptor to two backends, and without, to one', async () => {
  const reading = conversation(async (request, fds) => {
    await using file = await fds.recvFile(String(request['file']));
    return { content: await file.readFile('utf8') };
  });
  const backends = await Promise.all(
    [1, 2].map(async () => {
      const { address } = await serve(reading);
      return dial(address);
    }),
  );
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      const replies: Message[] = [];
      for (const [index, backend] of backends.entries()) {
        using onward = grpcfd.callCredentials();
        const { ref } = await onward.forward(fds, String(call.request['file']), { keep: index === 0 });
        replies.push(...(await converse(backend, 'unary', [{ file: ref }], onward.options())));
      }
      using third = grpcfd.callCredentials();
      const again = await third.forward(fds, String(call.request['file'])).then(() => 'sent', reasonOf);
      return { replies, again };
    }),
  });
  const client = await dial(address);
  using fds = grpcfd.callCredentials();
  const reply = await client.unary({ file: sendNew(fds, 'for both').ref }, fds.options());
  assert.deepEqual(reply, {
    replies: [{ content: 'for both' }, { content: 'for both' }],
    again: 'ERR_GRPCFD_ALREADY_RECEIVED',
  });
});

for (const kind of KINDS) {
  test(`${kind}: of five descriptors with maxFdsPerCall 2, two are there, the names of the others say why not, and nothing stays`, async () => {
    const server = watched();
    const { address } = await serve(
      conversation(async (request, fds) => {
        const atOnce = server.held();
        const files = request['files'] as string[];
        const outcomes: string[] = [];
        for (const file of files) {
          const receive = fds
            .recvFd(file)
            .then(closeSync)
            .then(() => 'received');
          outcomes.push(await receive.catch(({ reason, details }) => `${reason}: ${details}`));
        }
        const received = fds
          .received()
          .next()
          .then(() => 'some', reasonOf);
        return { atOnce, outcomes, received: await received, left: server.held() };
      }),
      { options: { ...server.options, maxFdsPerCall: 2 } },
    );
    const client = await dial(address);
    const fds = grpcfd.callCredentials();
    const pipes = Array.from({ length: 5 }, () => pipeTo((into) => fds.sendFd(into)));
    const files = pipes.map(({ given }) => given.ref);
    const [reply] = await converse(client, kind, [{ files }], fds.options());
    const tooMany = /^ERR_GRPCFD_TOO_MANY_DESCRIPTORS: descriptor \d of .* more than 2 .*maxFdsPerCall/;
    const outcomes = reply?.['outcomes'] as string[];
    assert.deepEqual(outcomes.slice(0, 2), ['received', 'received']);
    for (const outcome of outcomes.slice(2)) assert.match(outcome, tooMany);
    assert.deepEqual(
      { ...reply, outcomes: [] },
      {
        atOnce: 2,
        outcomes: [],
        received: 'ERR_GRPCFD_TOO_MANY_DESCRIPTORS',
        left: 0,
      },
    );
    fds.close();
    for (const { end } of pipes) await settledWithin(SOON_MS, 'the end', end());
    // What comes behind them has the right number.
    using next = grpcfd.callCredentials();
    const file = sendNew(next, 'next').ref;
    const [following] = await converse(client, kind, [{ files: [file] }], next.options());
    assert.deepEqual(following?.['outcomes'], ['received']);
  });
}
