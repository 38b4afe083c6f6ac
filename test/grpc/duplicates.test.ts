import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { assertSameDescriptors, defer, descriptorTable, trackDescriptors } from '../support/fd-table.js';
import { dial, type Message, SECURITIES, serve, withResolvers } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** Closes `fd`, and opens another file under the same number. */
function reuse(fd: number): void {
  closeSync(fd);
  const taken = openSync('/dev/zero', 'r');
  defer(() => closeSync(taken));
  assert.equal(taken, fd, 'the lowest free number is taken');
}

for (const security of SECURITIES) {
  test(`${security}: the right file arrives even if the caller closes its descriptor and reuses the number at once`, async () => {
    const { address } = await serve(
      {
        unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
          const answer = fileWith('answer');
          const { ref } = fds.sendFd(answer);
          reuse(answer);
          return { content: contentOf(await fds.recvFd(String(call.request['file']))), file: ref };
        }),
      },
      { security },
    );
    const client = await dial(address, { security });
    const fds = grpcfd.callCredentials();
    const question = fileWith('question');
    const { ref } = fds.sendFile({ fd: question });
    reuse(question);
    const reply = await client.unary({ file: ref }, fds.options());
    assert.equal(reply['content'], 'question');
    assert.equal(contentOf(await fds.recvFd(String(reply['file']))), 'answer');
    fds.close();
  });
}

test('Closing a received descriptor affects neither the sender nor a second receiver', async () => {
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      const source = String(call.request['file']);
      const [first, second] = [await fds.recvFd(source, { keep: true }), await fds.recvFd(source)];
      assert.notEqual(first, second);
      await assert.rejects(fds.recvFd(source), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
      return { contents: [contentOf(first), contentOf(second)] };
    }),
  });
  const client = await dial(address);
  const file = fileWith('shared');
  const fds = grpcfd.callCredentials();
  const reply = await client.unary({ file: fds.sendFd(file).ref }, fds.options());
  assert.deepEqual(reply, { contents: ['shared', 'shared'] });
  assert.equal(contentOf(file), 'shared');
  fds.close();
});

/** The descriptors that a child process has inherited, without those that it opened itself. */
function inheritedByChild(): string[] {
  const script = `
    const { readdirSync, readlinkSync } = require('node:fs');
    const open = [];
    for (const fd of readdirSync('/proc/self/fd')) {
      try { open.push(readlinkSync('/proc/self/fd/' + fd)); } catch {}
    }
    console.log(JSON.stringify(open));`;
  const { stdout } = spawnSync(process.execPath, ['-e', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(stdout) as string[];
}

test('A child process that is spawned while both ends have pending and held descriptors inherits none of them', async () => {
  const listed = withResolvers<{ here: string[]; child: string[] }>();
  const held = fileWith('held');
  const pending = fileWith('pending');
  defer(() => {
    closeSync(held);
    closeSync(pending);
  });
  const names = [held, pending].map((fd) => readlinkSync(`/proc/self/fd/${fd}`));
  let toServer: grpcfd.FdConnection | undefined;
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      await using file = await fds.recvFile(String(call.request['file']), { keep: true });
      assert.equal(file.kind, 'file');
      fds.sendFd(pending);
      toServer?.sendFd(pending);
      listed.resolve({ here: [...descriptorTable().values()], child: inheritedByChild() });
      return {};
    }),
  });
  const onConnection = (connection: grpcfd.FdConnection) => {
    toServer = connection;
  };
  const client = await dial(address, { options: { onConnection } });
  const fds = grpcfd.callCredentials();
  await client.unary({ file: fds.sendFd(held).ref }, fds.options());
  fds.close();
  const { here, child } = await listed.promise;
  // The descriptor of the test, the duplicate of the call, the one that the connection holds, and the one that the handler received.
  assert.equal(here.filter((target) => target === names[0]).length, 4);
  // The descriptor of the test, and a duplicate in each of the two queues.
  assert.equal(here.filter((target) => target === names[1]).length, 3);
  assert.deepEqual(
    child.filter((target) => names.includes(target)),
    [],
  );
  const sockets = here.filter((target) => target.startsWith('socket:'));
  assert.ok(sockets.length >= 3, 'the listener, and both ends of the connection');
  assert.deepEqual(
    child.filter((target) => sockets.includes(target)),
    [],
  );
});

test('What sendFilename opened is closed when it has been sent, and when it never will be', async () => {
  const { address } = await serve({ unary: grpcfd.handler(() => ({})) });
  const client = await dial(address);
  await client.unary({});
  const before = descriptorTable();
  using fds = grpcfd.callCredentials();
  const { sent } = fds.sendFilename('/dev/null');
  assert.equal(descriptorTable().size, before.size + 1);
  await client.unary({}, fds.options());
  await sent;
  await assertSameDescriptors(before);
  const unused = grpcfd.callCredentials();
  unused.sendFilename('/dev/null');
  unused.close();
  await assertSameDescriptors(before);
});
