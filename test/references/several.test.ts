/** `recvFiles()`: all or nothing, and at once where it is known at once. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { describe, test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { openFileOf } from '../support/open-file.js';
import { pipeTo } from '../support/pipe.js';
import { dial, type Message, serve, withResolvers } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';
import { settledWithin, within } from '../support/until.js';

trackDescriptors();

const SOON_MS = 5_000;
/** A file that nobody sends. */
const NEVER = 'inode://1/1';

/** A stream on which either side sends descriptors to the other, and the transceiver of the one that receives. It is over when the test is. */
async function received(side: 'handler' | 'client') {
  const began = withResolvers<[grpc.ServerDuplexStream<Message, Message>, grpcfd.FdServerCall]>();
  const connections: grpcfd.FdConnection[] = [];
  const options = { onConnection: (connection: grpcfd.FdConnection) => void connections.push(connection) };
  const { address } = await serve(
    {
      bidi: grpcfd.handler(async (call: grpc.ServerDuplexStream<Message, Message>, fds) => {
        began.resolve([call, fds]);
        for await (const _ of call) call.write({});
      }),
    },
    side === 'handler' ? { options } : {},
  );
  const client = await dial(address, side === 'client' ? { options } : {});
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options());
  defer(async () => {
    call.end();
    await once(call.resume(), 'end');
    fds.close();
  });
  const [handlerCall, handler] = await began.promise;
  // From the first response on, the client keeps nothing for another attempt.
  call.write({});
  await once(call, 'data');
  const [receiver, sender] = side === 'handler' ? [handler, fds] : [fds, handler];
  const stats = () => {
    assert.equal(connections.length, 1);
    return (connections[0] as grpcfd.FdConnection).stats();
  };
  /** Sends what `send` sends, and resolves when it is there. */
  const send = async <T>(send: (sender: grpcfd.FdTransceiver) => T): Promise<T> => {
    const before = stats().receivedFds;
    const sent = send(sender);
    // Descriptors travel with bytes.
    if (side === 'handler') call.write({});
    else handlerCall.write({});
    await within(SOON_MS, 'sent', () => stats().receivedFds > before);
    return sent;
  };
  const file = (content: string) =>
    send((sender) => {
      const fd = fileWith(content);
      defer(() => closeSync(fd));
      return { ...sender.sendFd(fd), fd };
    });
  return { receiver, send, file, stats };
}

for (const side of ['handler', 'client'] as const) {
  describe(`recvFiles() in a ${side}`, () => {
    test('fails at once where one name is bad, and waits for no other', async () => {
      const { receiver, stats } = await received(side);
      for (const [input, reason] of [
        ['', 'ERR_GRPCFD_INVALID_URL'],
        ['fd:elsewhere:1', 'ERR_GRPCFD_WRONG_CONNECTION'],
        ['inode://1', 'ERR_GRPCFD_INVALID_URL'],
      ] as const) {
        for (const fields of [['input', 'output'] as const, ['output', 'input'] as const]) {
          const files = receiver.recvFiles({ input, output: NEVER }, fields);
          await assert.rejects(settledWithin(SOON_MS, 'at once', files), { reason });
          assert.equal(stats().pendingReceives, 0);
        }
      }
    });

    test('fails at the first failure, withdraws the other wait, and closes what had come', async () => {
      const { receiver, send, file, stats } = await received(side);
      const gone = await file('handed over');
      closeSync(await receiver.recvFd(gone.ref));
      const pipe = await send((sender) => pipeTo((into) => sender.sendFd(into)));
      const files = receiver.recvFiles({ came: pipe.given.ref, waiting: NEVER, gone: gone.url }, [
        'came',
        'waiting',
        'gone',
      ]);
      await assert.rejects(settledWithin(SOON_MS, 'at once', files), {
        reason: 'ERR_GRPCFD_ALREADY_RECEIVED',
      });
      assert.equal(stats().pendingReceives, 0);
      await settledWithin(SOON_MS, 'the end', pipe.end());
    });

    test('fails when a wait fails later, and withdraws and closes as well', async () => {
      const { receiver, send, stats } = await received(side);
      const pipe = await send((sender) => pipeTo((into) => sender.sendFd(into)));
      const [limit, cause] = [new AbortController(), new Error('enough')];
      const names = { came: pipe.given.ref, waiting: NEVER, too: 'inode://1/2' };
      const files = receiver.recvFiles(names, ['came', 'waiting', 'too'], { signal: limit.signal });
      await within(SOON_MS, 'waiting', () => stats().pendingReceives === 2);
      limit.abort(cause);
      await assert.rejects(files, { reason: 'ERR_GRPCFD_ABORTED', cause });
      assert.equal(stats().pendingReceives, 0);
      await settledWithin(SOON_MS, 'the end', pipe.end());
    });

    test('looks at every ref before it moves any: those that are good can still be received', async () => {
      const { receiver, file } = await received(side);
      const [good, gone] = [await file('good'), await file('gone')];
      closeSync(await receiver.recvFd(gone.ref));
      for (const fields of [['good', 'gone'] as const, ['gone', 'good'] as const]) {
        const files = receiver.recvFiles({ good: good.ref, gone: gone.ref }, fields);
        await assert.rejects(files, { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
      }
      assert.equal(contentOf(await receiver.recvFd(good.ref)), 'good');
    });

    test('gives each field its own descriptor where one name stands in several, and then it has been received', async () => {
      const { receiver, file, stats } = await received(side);
      const { ref, fd } = await file('shared');
      const names = { one: ref, two: ref, three: ref };
      {
        await using files = await receiver.recvFiles(names, ['one', 'two', 'three', 'one']);
        const fds = [files.one.fd, files.two.fd, files.three.fd];
        assert.equal(new Set(fds).size, 3);
        for (const each of fds) assert.equal(openFileOf(each), openFileOf(fd));
      }
      assert.equal(stats().heldFds, 0);
      await assert.rejects(receiver.recvFd(ref), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
    });

    test('gives both fields a descriptor where one names it by ref and the other by URL, in any order', async () => {
      const { receiver, file } = await received(side);
      for (const fields of [['byRef', 'byUrl'] as const, ['byUrl', 'byRef'] as const]) {
        const { ref, url } = await file('twice');
        await using files = await receiver.recvFiles({ byRef: ref, byUrl: url }, fields);
        for (const field of fields) assert.equal(await files[field].readFile('utf8'), 'twice');
        await assert.rejects(receiver.recvFd(ref), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
      }
    });

    test('with keep leaves all of them for the next receive', async () => {
      const { receiver, file } = await received(side);
      const names = { one: (await file('one')).ref, two: (await file('two')).ref };
      for (const options of [{ keep: true }, undefined]) {
        await using files = await receiver.recvFiles(names, ['one', 'two'], options);
        assert.equal(await files.one.readFile('utf8'), 'one');
        assert.equal(await files.two.readFile('utf8'), 'two');
      }
      const again = receiver.recvFiles(names, ['one', 'two']);
      await assert.rejects(again, { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
    });

    test('takes fields of any name', async () => {
      const { receiver, file } = await received(side);
      const fields = ['__proto__', 'constructor', 'toString', 'then'];
      const message: Record<string, string> = Object.create(null);
      for (const field of fields) message[field] = (await file(field)).ref;
      // As a result of an async function, what has a `then` that is no function is given as it is.
      const files = await receiver.recvFiles(message, fields);
      for (const field of fields) {
        const received = Object.getOwnPropertyDescriptor(files, field)?.value as grpcfd.ReceivedFile;
        assert.equal(await received.readFile('utf8'), field);
      }
      await files[Symbol.asyncDispose]();
      for (const field of fields) {
        const received = Object.getOwnPropertyDescriptor(files, field)?.value as grpcfd.ReceivedFile;
        assert.equal(received.closed, true);
      }
    });
  });
}
