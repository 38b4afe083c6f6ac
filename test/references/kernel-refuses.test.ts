/** What the kernel refuses to send, as it does an io_uring: its receiver is told, and never gets what travels in its place. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { describe, test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { SOCKETS } from '#src/native/file-types.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { conversation, converse, KINDS } from '../support/kinds.js';
import { dial, type Message, SECURITIES, serve } from '../support/service.js';
import { contentOf, fileWith } from '../support/temporary.js';

trackDescriptors();

/** Why there is no io_uring that the kernel refuses to send. It does since Linux 6.7, and one may not be allowed to make it. */
const withoutRing = (() => {
  try {
    closeSync(native.testing.ioUring());
    return false;
  } catch (error) {
    return `an io_uring cannot be made: ${(error as Error).message}`;
  }
})();

function ring(): number {
  const fd = native.testing.ioUring();
  defer(() => closeSync(fd));
  return fd;
}

function newFile(content: string): number {
  const fd = fileWith(content);
  defer(() => closeSync(fd));
  return fd;
}

const REFUSED = /kernel of its sender refused to send it/;
const NOT_SENT = { reason: 'ERR_GRPCFD_NOT_FOUND', details: REFUSED };
const outcomeOf = (receive: Promise<number>) =>
  receive.then(contentOf, ({ reason, details }) => `${reason}: ${details}`);

describe('a descriptor that the kernel refuses to send', { skip: withoutRing }, () => {
  for (const security of SECURITIES) {
    for (const kind of KINDS) {
      test(`${security}, ${kind}: from a handler: sent rejects, and so does the client's receive, and what was sent with it is good`, async () => {
        const outcomes: Promise<unknown>[] = [];
        const service = conversation((_request, fds) => {
          const sent = [newFile('before'), ring(), newFile('behind')].map((fd) => fds.sendFd(fd));
          outcomes.push(
            ...sent.map((each) =>
              each.sent.then(
                () => 'sent',
                ({ reason }) => reason,
              ),
            ),
          );
          return Promise.resolve({ refs: sent.map(({ ref }) => ref) });
        });
        const { address } = await serve(service, { security });
        const client = await dial(address, { security });
        using fds = grpcfd.callCredentials();
        const [reply] = await converse(client, kind, [{}], fds.options());
        const [before = '', refused = '', behind = ''] = (reply as { refs: string[] }).refs;
        await assert.rejects(fds.recvFile(refused), NOT_SENT);
        await assert.rejects(fds.recvFd(refused, { keep: true }), NOT_SENT);
        await assert.rejects(fds.recvFiles({ before, refused }, ['before', 'refused']), NOT_SENT);
        assert.equal(contentOf(await fds.recvFd(before)), 'before');
        assert.equal(contentOf(await fds.recvFd(behind)), 'behind');
        assert.deepEqual(await Promise.all(outcomes), ['sent', 'ERR_GRPCFD_SEND_FAILED', 'sent']);
      });
    }

    test(`${security}: from a client: so it is in the handler, by name, and in received(), which does not skip it`, async () => {
      const { address } = await serve(
        {
          unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
            const refused = await outcomeOf(fds.recvFd(String(call.request['refused'])));
            const received: string[] = [];
            try {
              for await (const file of fds.received()) {
                received.push(await file.readFile('utf8'));
                await file.close();
              }
            } catch (error) {
              received.push((error as grpcfd.GrpcFdError).details);
            }
            return { refused, received, behind: await outcomeOf(fds.recvFd(String(call.request['behind']))) };
          }),
        },
        { security },
      );
      const client = await dial(address, { security });
      using fds = grpcfd.callCredentials();
      fds.sendFd(newFile('before'));
      const refused = fds.sendFd(ring());
      const behind = fds.sendFd(newFile('behind'));
      const reply = await client.unary({ refused: refused.ref, behind: behind.ref }, fds.options());
      await assert.rejects(refused.sent, { reason: 'ERR_GRPCFD_SEND_FAILED' });
      assert.match(String(reply['refused']), /^ERR_GRPCFD_NOT_FOUND: /);
      assert.match(String(reply['refused']), REFUSED);
      const [first, second] = reply['received'] as string[];
      assert.equal(first, 'before');
      assert.match(String(second), REFUSED);
      assert.equal(reply['behind'], 'behind');
    });
  }
});

test('a placeholder is known by its name, and no other descriptor is taken for one', () => {
  const [out, into] = native.testing.pipe();
  const [one, other] = native.socketPair();
  const placeholder = native.placeholder();
  const second = native.placeholder();
  const rest = [out, into, newFile('content'), native.testing.eventFd()];
  try {
    const { NONE, UNIX, PLACEHOLDER } = SOCKETS;
    const looks = native.look([placeholder, ...rest, one, second, other]);
    assert.deepEqual(
      looks.map(({ socket }) => socket),
      [PLACEHOLDER, NONE, NONE, NONE, NONE, UNIX, PLACEHOLDER, UNIX],
    );
    assert.notEqual(native.inode(placeholder), native.inode(second));
  } finally {
    for (const fd of [placeholder, second, one, other]) native.close(fd);
    for (const fd of [out, into, rest[3] ?? -1]) closeSync(fd);
  }
});
