import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { conversation, converse, KINDS, readingService } from '../support/kinds.js';
import { dial, type Message, SECURITIES, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** Sends a file with that content, and closes its own descriptor. */
function sendNew(fds: grpcfd.FdTransceiver, content: string): grpcfd.SentFd {
  const fd = fileWith(content);
  try {
    return fds.sendFd(fd);
  } finally {
    closeSync(fd);
  }
}

async function contentsOf(
  fds: grpcfd.FdTransceiver,
  replies: readonly Message[],
  options?: grpcfd.ReceiveOptions,
): Promise<string[]> {
  const contents: string[] = [];
  for (const { file } of replies) contents.push(contentOf(await fds.recvFd(String(file), options)));
  return contents;
}

for (const security of SECURITIES) {
  for (const kind of KINDS) {
    for (const name of ['url', 'ref'] as const) {
      test(`${security}, ${kind}: files travel in both directions, by ${name}`, async () => {
        const { address } = await serve(readingService(name), { security });
        const client = await dial(address, { security });
        const fds = grpcfd.callCredentials();
        const contents = ['one', 'two', 'three'];
        const sent = contents.map((content) => sendNew(fds, content));
        const requests = sent.map((each) => ({ file: each[name] }));
        const replies = await converse(client, kind, requests, fds.options());
        await Promise.all(sent.map((each) => each.sent));
        assert.deepEqual(
          replies.map(({ content }) => content),
          contents,
        );
        assert.deepEqual(await contentsOf(fds, replies), ['ONE', 'TWO', 'THREE']);
        fds.close();
      });
    }
  }
}

for (const name of ['url', 'ref'] as const) {
  test(`A running stream sends files by ${name} before its first message and between messages`, async () => {
    const { address } = await serve(readingService(name));
    const client = await dial(address);
    const fds = grpcfd.callCredentials();
    const call = client.bidi(fds.options());
    const replies = call[Symbol.asyncIterator]();
    for (const content of ['before the first message', 'between messages', 'and once more']) {
      call.write({ file: sendNew(fds, content)[name] });
      const { value } = await replies.next();
      assert.equal(value.content, content);
      assert.deepEqual(await contentsOf(fds, [value]), [content.toUpperCase()]);
    }
    call.end();
    assert.equal((await replies.next()).done, true);
    fds.close();
  });
}

test('A file that is sent in the same turn of the event loop in which its call starts travels with the call', async () => {
  const { address } = await serve(readingService('ref'));
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const call = client.bidi(fds.options());
  call.write({ file: sendNew(fds, 'a moment later').ref });
  call.end();
  for await (const reply of call) assert.equal((reply as Message)['content'], 'a moment later');
  fds.close();
});

test('The files of several credentials in one call all arrive', async () => {
  const { address } = await serve(readingService('ref'));
  const client = await dial(address);
  const first = grpcfd.callCredentials();
  const second = grpcfd.callCredentials();
  const requests = [first, second, first].map((fds, index) => ({ file: sendNew(fds, `file ${index}`).ref }));
  const replies = await converse(client, 'bidi', requests, second.options(first.options()));
  assert.deepEqual(
    replies.map(({ content }) => content),
    ['file 0', 'file 1', 'file 2'],
  );
  const answers = ['FILE 0', 'FILE 1', 'FILE 2'];
  assert.deepEqual(await contentsOf(first, replies, { keep: true }), answers);
  assert.deepEqual(await contentsOf(second, replies), answers);
  for (const fds of [first, second]) {
    await assert.rejects(contentsOf(fds, replies), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
  }
  first.close();
  second.close();
});

test('Credentials that are given to a call twice send their files once', async () => {
  const received = new Map<string, number>();
  const options: grpcfd.FdServerOptions = {
    onConnection: (connection) => {
      void connection.closed.then(() => received.set(connection.id, connection.stats().receivedFds));
    },
  };
  const { address } = await serve(readingService('ref'), { options });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const file = sendNew(fds, 'once').ref;
  const twice = fds.options(fds.options({ credentials: fds.compose(fds) }));
  assert.equal((await converse(client, 'unary', [{ file }], twice))[0]?.['content'], 'once');
  fds.close();
  client.grpc.close();
  while (received.size === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([...received.values()], [1]);
});

test('Calls with the same credentials on two channels at a time both have the files', async () => {
  const servers = await Promise.all([serve(readingService('ref')), serve(readingService('ref'))]);
  const clients = await Promise.all(servers.map(({ address }) => dial(address)));
  const fds = grpcfd.callCredentials();
  const file = sendNew(fds, 'for both').ref;
  const replies = await Promise.all(
    clients.map((client) => converse(client, 'unary', [{ file }], fds.options())),
  );
  for (const reply of replies) {
    assert.equal(reply[0]?.['content'], 'for both');
    assert.deepEqual(await contentsOf(fds, reply), ['FOR BOTH']);
  }
  fds.close();
});

test('Credentials can be used for one call after another, each with its own files', async () => {
  const { address } = await serve(readingService('ref'));
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  for (const content of ['first', 'second']) {
    const replies = await converse(client, 'unary', [{ file: sendNew(fds, content).ref }], fds.options());
    assert.equal(replies[0]?.['content'], content);
  }
  fds.close();
});

test('Interceptors of the client run in calls with call credentials', async () => {
  let intercepted = 0;
  const interceptor: grpc.Interceptor = (options, nextCall) => {
    intercepted++;
    return new grpc.InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => {
        metadata.set('intercepted', 'yes');
        next(metadata, listener);
      },
    });
  };
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => ({
      content: contentOf(await fds.recvFd(String(call.request['file']))),
      intercepted: call.metadata.get('intercepted'),
    })),
  });
  const client = await dial(address, { clientOptions: { interceptors: [interceptor] } });
  const fds = grpcfd.callCredentials();
  const reply = await client.unary({ file: sendNew(fds, 'content').url }, fds.options());
  assert.deepEqual(reply, { content: 'content', intercepted: ['yes'] });
  assert.equal(intercepted, 1);
  fds.close();
});

test('options() keeps the given call options and their credentials', async () => {
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => ({
      content: contentOf(await fds.recvFd(String(call.request['file']))),
      tokens: call.metadata.get('authorization'),
      deadline: call.getDeadline() !== Number.POSITIVE_INFINITY,
      inner: call.metadata.get('inner'),
    })),
  });
  const client = await dial(address);
  const credentialsWith = (key: string, value: string) =>
    grpc.credentials.createFromMetadataGenerator((_, callback) => {
      const metadata = new grpc.Metadata();
      metadata.set(key, value);
      callback(null, metadata);
    });
  const fds = grpcfd.callCredentials(credentialsWith('inner', 'kept'));
  const base = { deadline: Date.now() + 60_000, credentials: credentialsWith('authorization', 'token') };
  const reply = await client.unary({ file: sendNew(fds, 'content').url }, fds.options(base));
  assert.deepEqual(reply, { content: 'content', tokens: ['token'], deadline: true, inner: ['kept'] });
  assert.equal('interceptors' in fds.options(base), false);
  fds.close();
});

test('A file that was sent for a call cannot be received by another call at the same time', async () => {
  const { address } = await serve(
    conversation(async (request, fds) => {
      const source = request['file'];
      const outcome = (fd: number) => contentOf(fd);
      const failure = (error: grpcfd.GrpcFdError) => error.reason;
      const options = { timeoutMs: 50, keep: request['keep'] === true };
      return { outcome: await fds.recvFd(String(source), options).then(outcome, failure) };
    }),
  );
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const sent = sendNew(fds, 'private');
  const call = client.bidi(fds.options());
  defer(() => call.cancel());
  const replies = call[Symbol.asyncIterator]();
  const outcomesOfOthers = async () => {
    const others = await converse(client, 'unary', [{ file: sent.ref }, { file: sent.url }]);
    return others.map(({ outcome }) => outcome);
  };
  call.write({ file: sent.ref, keep: true });
  assert.equal((await replies.next()).value.outcome, 'private');
  assert.deepEqual(await outcomesOfOthers(), ['ERR_GRPCFD_WRONG_CONNECTION', 'ERR_GRPCFD_TIMEOUT']);
  call.write({ file: sent.ref });
  assert.equal((await replies.next()).value.outcome, 'private');
  assert.deepEqual(await outcomesOfOthers(), ['ERR_GRPCFD_WRONG_CONNECTION', 'ERR_GRPCFD_ALREADY_RECEIVED']);
  call.end();
  await replies.next();
  fds.close();
});

test('Credentials that are closed before their call has a connection send neither their file nor another one', async () => {
  const { address } = await serve(
    conversation(async (request, fds) => {
      const failure = (error: grpcfd.GrpcFdError) => error.reason;
      return { outcome: await fds.recvFd(String(request['file'])).then(contentOf, failure) };
    }),
  );
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const { ref, sent } = sendNew(fds, 'never sent');
  const reply = converse(client, 'unary', [{ file: ref }], fds.options());
  fds.close();
  const reuseOfTheNumber = [1, 2, 3].map(() => fileWith('not to be sent'));
  defer(() => {
    for (const fd of reuseOfTheNumber) closeSync(fd);
  });
  assert.deepEqual(await reply, [{ outcome: 'ERR_GRPCFD_NOT_FOUND' }]);
  await assert.rejects(sent, { reason: 'ERR_GRPCFD_CLOSED' });
});
