import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { assertFails, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { closing, openFileOf } from '../support/open-file.js';
import {
  dial,
  type Message,
  SECURITIES,
  type Security,
  serve,
  type TestHandlers,
} from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

/** Names the open file that it received, and sends the file back. */
const backend: TestHandlers = {
  unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
    await using file = await fds.recvFile(String(call.request['file']));
    return { was: openFileOf(file.fd), file: fds.sendFile(file).ref };
  }),
};

/** A server that forwards the file of a request to another server, and the file of the reply back. */
async function relay(security: Security, backendAddress: string): Promise<string> {
  const client = await dial(backendAddress, { security });
  const { address } = await serve(
    {
      unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
        using onward = grpcfd.callCredentials();
        const { ref } = await onward.forward(fds, String(call.request['file']));
        const reply = await client.unary({ file: ref }, onward.options());
        return { ...reply, file: (await fds.forward(onward, String(reply['file']))).ref };
      }),
    },
    { security },
  );
  return address;
}

for (const security of SECURITIES) {
  test(`${security}: a descriptor travels through three servers and back as the same open file`, async () => {
    let { address } = await serve(backend, { security });
    address = await relay(security, await relay(security, address));
    const client = await dial(address, { security });
    const path = join(temporaryDirectory(), 'file');
    writeFileSync(path, 'content');
    const readOnly = openSync(path, 'r');
    readSync(readOnly, Buffer.alloc(3));
    const files = [readOnly, openSync(path, 'r+'), ...native.testing.pipe()];
    defer(() => files.forEach(closeSync));
    await Promise.all(
      files.map(async (fd) => {
        using fds = grpcfd.callCredentials();
        const reply = await client.unary({ file: fds.sendFd(fd).ref }, fds.options());
        assert.equal(reply['was'], openFileOf(fd));
        assert.equal(closing(await fds.recvFd(String(reply['file'])), openFileOf), openFileOf(fd));
      }),
    );
  });
}

test('A reference that is passed on without its descriptor names no descriptor at the next server', async () => {
  const { address: backendAddress } = await serve(backend);
  const toBackend = await dial(backendAddress);
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>) => {
      using onward = grpcfd.callCredentials();
      onward.sendFd(0);
      return toBackend.unary(call.request, onward.options());
    }),
  });
  const client = await dial(address);
  using fds = grpcfd.callCredentials();
  const error = await failure(client.unary({ file: fds.sendFd(0).ref }, fds.options()));
  assert.equal((error as grpc.ServiceError).code, grpc.status.FAILED_PRECONDITION);
});

test('forward() of a descriptor that cannot be received fails with the reason of the receive', async () => {
  const { address } = await serve({
    unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
      using onward = grpcfd.callCredentials();
      await onward.forward(fds, String(call.request['file']));
      return {};
    }),
  });
  const client = await dial(address);
  using fds = grpcfd.callCredentials();
  const error = await failure(client.unary({ file: 'fd:nowhere:1' }, fds.options()));
  assert.equal((error as grpc.ServiceError).code, grpc.status.FAILED_PRECONDITION);
});

test('forward() with timeoutMs ends after that time', async () => {
  using fds = grpcfd.callCredentials();
  using from = grpcfd.callCredentials();
  const passing = fds.forward(from, 'inode://1/1', { timeoutMs: 1 });
  await assert.rejects(passing, { reason: 'ERR_GRPCFD_TIMEOUT' });
});

for (const end of ['handler', 'client'] as const) {
  test(`A ${end} loses no descriptor that it cannot send on, and holds none that it has sent on`, async () => {
    const elsewhere = await serve({ unary: grpcfd.handler(() => ({})) });
    const onwardClient = await dial(elsewhere.address);
    const held: (() => number)[] = [];
    const onConnection = (connection: grpcfd.FdConnection) =>
      void held.push(() => connection.stats().heldFds);
    const forwarding = async (fds: grpcfd.FdTransceiver, ref: string) => {
      const closed = grpcfd.callCredentials();
      closed.close();
      await assertFails(closed.forward(fds, ref), 'ERR_GRPCFD_CLOSED', 'CANCELLED');
      using onward = grpcfd.callCredentials();
      const sent = await onward.forward(fds, ref);
      assert.equal(held[0]?.(), 0);
      await onwardClient.unary({}, onward.options());
      await sent.sent;
      await assertFails(fds.recvFd(ref), 'ERR_GRPCFD_ALREADY_RECEIVED', 'FAILED_PRECONDITION');
    };
    const { address } = await serve(
      {
        unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
          if (end === 'handler') await forwarding(fds, String(call.request['file']));
          return { file: fds.sendFd(0).ref };
        }),
      },
      end === 'handler' ? { options: { onConnection } } : {},
    );
    const client = await dial(address, end === 'client' ? { options: { onConnection } } : {});
    using fds = grpcfd.callCredentials();
    const reply = await client.unary({ file: fds.sendFd(0).ref }, fds.options());
    if (end === 'client') await forwarding(fds, String(reply['file']));
  });
}
