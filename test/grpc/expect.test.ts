/** A receive that says what it expects. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { describe, test } from 'node:test';
import type * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { assertFails } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { endOf } from '../support/pipe.js';
import { dial, type Message, type Security, serve } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

const EXPECT = { kind: 'file', access: 'read' } as const;

type Receive = (fds: grpcfd.FdServerCall, name: string) => Promise<unknown>;

const RECEIVES: Readonly<Record<string, Receive>> = {
  recvFd: (fds, name) => fds.recvFd(name, { expect: EXPECT }),
  recvFile: (fds, name) => fds.recvFile(name, { expect: EXPECT }),
  'recvFile with a time limit': (fds, name) => fds.recvFile(name, { expect: EXPECT, timeoutMs: 60_000 }),
  recvFiles: (fds, input) => fds.recvFiles({ input }, ['input'], { expect: { input: EXPECT } }),
  forward: (fds, name) => fds.forward(fds, name, { expect: EXPECT }),
  received: (fds) => fds.received({ expect: EXPECT }).next(),
};

/** Runs `handle` in a handler whose call has a file, and a pipe to write to whose last holder is then the server. */
async function serveOne(
  handle: (
    fds: grpcfd.FdServerCall,
    names: { pipe: string; file: string },
    pipeEnd: () => Promise<string>,
  ) => Promise<void>,
  by: 'ref' | 'url' = 'ref',
  security: Security = 'plaintext',
): Promise<void> {
  const [out, into] = native.testing.pipe();
  defer(() => closeSync(out));
  const { address } = await serve(
    {
      unary: grpcfd.handler(async (call: grpc.ServerUnaryCall<Message, Message>, fds) => {
        await handle(fds, call.request as { pipe: string; file: string }, () => endOf(out));
        return {};
      }),
    },
    { security },
  );
  const client = await dial(address, { security });
  const fds = grpcfd.callCredentials();
  defer(() => fds.close());
  const file = fileWith('content');
  const [sentPipe, sentFile] = [fds.sendFd(into), fds.sendFd(file)];
  closeSync(into);
  closeSync(file);
  // The credentials hold their duplicates until the first response headers, so the server sends these at once.
  await client.unary({ pipe: sentPipe[by], file: sentFile[by] }, fds.options());
}

describe('A receive that expects a file to read', () => {
  trackDescriptors();

  for (const security of ['plaintext', 'TLS'] as const) {
    for (const by of ['ref', 'url'] as const) {
      for (const [what, receive] of Object.entries(RECEIVES)) {
        test(`${what} by ${by} under ${security} fails with a pipe to write to`, async () => {
          await serveOne(
            async (fds, names) => {
              const error = await assertFails(
                receive(fds, names.pipe),
                'ERR_GRPCFD_UNEXPECTED_KIND',
                'FAILED_PRECONDITION',
              );
              assert.match(error.details, /the kind pipe with the access write, but the kind file with/);
              const again = fds.recvFd(names.pipe);
              if (by === 'url' && what !== 'received') closeSync(await again);
              else await assertFails(again, 'ERR_GRPCFD_ALREADY_RECEIVED', 'FAILED_PRECONDITION');
            },
            by,
            security,
          );
        });
      }
    }
  }

  test('gets it where it comes', async () => {
    await serveOne(async (fds, { file }) => {
      await using received = await fds.recvFile(file, { expect: EXPECT });
      assert.equal(await received.readFile('utf8'), 'content');
    });
    await serveOne(async (fds, { file }) => closeSync(await fds.recvFd(file, { expect: EXPECT })));
  });

  test('leaves a descriptor that it was to keep', async () => {
    await serveOne(async (fds, { pipe }) => {
      const receiving = fds.recvFile(pipe, { expect: EXPECT, keep: true });
      await assertFails(receiving, 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
      await using file = await fds.recvFile(pipe, { expect: { kind: ['file', 'pipe'] } });
      assert.equal(file.kind, 'pipe');
    });
  });

  test('closes all descriptors of a message if one of them is not as expected', async () => {
    await serveOne(async (fds, names) => {
      const before = fds.recvFiles(names, ['file', 'pipe'], { expect: { pipe: { kind: 'socket' } } });
      await assertFails(before, 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
      for (const name of [names.file, names.pipe]) {
        await assertFails(fds.recvFd(name), 'ERR_GRPCFD_ALREADY_RECEIVED', 'FAILED_PRECONDITION');
      }
    });
  });

  test('goes on with the next one in received()', async () => {
    await serveOne(async (fds) => {
      const received = fds.received({ expect: EXPECT });
      await assertFails(received.next(), 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
      for await (const file of fds.received({ expect: EXPECT })) {
        await using own = file;
        assert.equal(own.kind, 'file');
      }
    });
  });

  const WRONG: readonly (readonly [expect: unknown, text: RegExp])[] = [
    [{ kind: 'files' }, /^kind must be one of unknown, file, .*, not "files"/],
    [{ kind: ['file', 1] }, /^kind must be one of/],
    [{ access: 'r' }, /^access must be one of read, write, readwrite, path, not "r"/],
    [{ kinds: 'file' }, /^"kinds" is not an option/],
    ['file', /^options must be an object/],
  ];
  for (const [expect, text] of WRONG) {
    test(`refuses ${JSON.stringify(expect)}, and receives nothing`, async () => {
      await serveOne(async (fds, { file }) => {
        const wrong = expect as grpcfd.Expectation;
        const one = fds.recvFile(file, { expect: wrong });
        const several = fds.recvFiles({ file }, ['file'], { expect: { file: wrong } });
        for (const receive of [one, several, fds.received({ expect: wrong }).next()]) {
          const error = await assertFails(receive, 'ERR_GRPCFD_INVALID_ARGUMENT', 'INVALID_ARGUMENT');
          assert.match(error.details, text);
        }
        const misspelt = { fiel: EXPECT } as { file?: grpcfd.Expectation };
        const misspeltField = fds.recvFiles({ file }, ['file'], { expect: misspelt });
        await assertFails(misspeltField, 'ERR_GRPCFD_INVALID_ARGUMENT', 'INVALID_ARGUMENT');
        closeSync(await fds.recvFd(file));
      });
    });
  }
});
