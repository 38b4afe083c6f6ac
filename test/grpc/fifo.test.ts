/** Files that a handler opens by paths that its clients chose. */
import assert from 'node:assert/strict';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { describe, test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { assertFailure, failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { isNonBlocking, newFifo } from '../support/idle.js';
import { dial, type Message, type Security, serve } from '../support/service.js';

const broker = (security: Security = 'plaintext') =>
  serve(
    {
      unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
        const { path, flags, how } = call.request as { path: string; flags: string; how: string };
        if (how === 'sendFilename') {
          const { ref, url } = fds.sendFilename(path, { flags });
          return { ref, url };
        }
        await using file = await grpcfd.openFile(path, { flags, expect: { kind: ['file', 'pipe'] } });
        const { ref, url } = fds.sendFile(file);
        return { ref, url };
      }),
    },
    { security },
  );

describe('A FIFO that a handler opens', () => {
  trackDescriptors();

  for (const how of ['sendFilename', 'openFile'] as const) {
    for (const security of ['plaintext', 'TLS'] as const) {
      for (const by of ['ref', 'url'] as const) {
        test(`with ${how}() and no writer yet does not stop the server, and its receiver waits, by ${by} under ${security}`, async () => {
          const { address } = await broker(security);
          const client = await dial(address, { security });
          const path = newFifo();
          const fds = grpcfd.callCredentials();
          const reply = await client.unary({ path, flags: 'r', how }, fds.options());
          await using file = await fds.recvFile(String(reply[by]), {
            expect: { kind: 'pipe', access: 'read' },
          });
          assert.equal(isNonBlocking(file.fd), false);
          const reading = file.readFile('utf8');
          await client.unary({ path: '/proc/version', flags: 'r', how }, grpcfd.callCredentials().options());
          const writer = openSync(path, 'w');
          writeSync(writer, 'at last');
          closeSync(writer);
          assert.equal(await reading, 'at last');
          assert.equal(isNonBlocking(file.fd), false);
          fds.close();
        });
      }
    }

    test(`with ${how}() to write, and has no reader, is an error that says so`, async () => {
      const { address } = await broker();
      const client = await dial(address);
      const fds = grpcfd.callCredentials();
      const error = await failure(client.unary({ path: newFifo(), flags: 'w', how }, fds.options()));
      assert.equal((error as grpc.ServiceError).code, 5);
      assert.match((error as grpc.ServiceError).details, /ENXIO.*a FIFO that no process has open to read/);
      fds.close();
    });
  }

  test('sendFilename() gives its error when it is called', () => {
    const fds = grpcfd.callCredentials();
    assert.throws(
      () => fds.sendFilename(newFifo(), { flags: constants.O_WRONLY }),
      (error) => assertFailure(error, 'ERR_GRPCFD_OPEN_FAILED', 'NOT_FOUND') !== undefined,
    );
    fds.close();
  });

  test('sendFilename() leaves O_NONBLOCK where it was asked for', async () => {
    const path = newFifo();
    const { address } = await serve({
      unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
        await using file = await fds.recvFile(String(call.request['file']));
        return { isNonBlocking: isNonBlocking(file.fd) };
      }),
    });
    const client = await dial(address);
    for (const flags of [constants.O_RDONLY, constants.O_RDONLY | constants.O_NONBLOCK]) {
      const fds = grpcfd.callCredentials();
      const file = fds.sendFilename(path, { flags }).ref;
      const reply = await client.unary({ file }, fds.options());
      assert.deepEqual(reply, { isNonBlocking: flags !== constants.O_RDONLY });
      fds.close();
    }
  });
});
