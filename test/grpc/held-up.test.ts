// A close that takes an hour, in each place where this package closes what a peer has sent. The event loop goes on.
import assert from 'node:assert/strict';
import { closeSync, constants } from 'node:fs';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { allClosed } from '../support/all-closed.js';
import { trackDescriptors } from '../support/fd-table.js';
import { hanging, lingering } from '../support/hanging-close.js';
import { hangingFileSystem } from '../support/hanging-file-system.js';
import { dial, serve, withResolvers } from '../support/service.js';
import { slowFileSystem } from '../support/slow-file-system.js';
import { settledWithin } from '../support/until.js';

trackDescriptors();

const SOON_MS = 5_000;

interface Place {
  /** What the handler does with the descriptor that is attached to its call. Default: nothing. */
  readonly handle?: (fds: grpcfd.FdServerCall, ref: string, url: string) => unknown;
  /** The server sends the descriptor in its reply, and the client does not receive it. */
  readonly inReply?: boolean;
  /** The client sends the descriptor outside of calls, and nobody receives it. */
  readonly outsideOfCalls?: boolean;
  /** The server is shut down while the handler runs. */
  readonly shutsDown?: boolean;
}

const PLACES: Record<string, Place> = {
  'of a call that did not receive it': {},
  'of a reply that the client does not receive': { inReply: true },
  'that is held for longer than holdMs': { outsideOfCalls: true },
  'that is held when its connection closes': { shutsDown: true },
  'that is received and disposed of': {
    handle: async (fds, ref) => {
      using _file = await fds.recvFile(ref);
    },
  },
  'of which duplicates are received and closed': {
    handle: async (fds, ref, url) => {
      void (await fds.recvFile(url)).close();
      void (await fds.recvFile(ref, { keep: true })).close();
    },
  },
  'that is not as expected': {
    handle: (fds, ref) =>
      assert.rejects(fds.recvFile(ref, { expect: { kind: 'pipe' } }), {
        reason: 'ERR_GRPCFD_UNEXPECTED_KIND',
      }),
  },
  'of a part of a message': {
    handle: (fds, ref) =>
      assert.rejects(fds.recvFiles({ ref, bad: 'inode://1/1' }, ['ref', 'bad'], { timeoutMs: 1 }), {
        reason: 'ERR_GRPCFD_TIMEOUT',
      }),
  },
  'that is sent back': { handle: (fds, ref) => fds.forward(fds, ref) },
};

/** Sends `fd`, which is closed, and has it closed at the other end. Then another call is made. */
async function pass(
  fd: number,
  { handle = () => {}, inReply, outsideOfCalls, shutsDown }: Place,
): Promise<void> {
  const running = withResolvers<void>();
  const { server, address } = await serve(
    {
      unary: grpcfd.handler(async (call, fds) => {
        const { ref, url } = call.request as { ref?: string; url?: string };
        if (inReply && ref !== undefined) {
          fds.sendFd(fd);
          native.close(fd);
        } else if (ref !== undefined && url !== undefined) await handle(fds, ref, url);
        running.resolve();
        if (shutsDown) await new Promise(() => {});
        return {};
      }),
    },
    { options: { holdMs: outsideOfCalls ? 20 : 10_000 } },
  );
  const onConnection = (connection: grpcfd.FdConnection) => {
    if (outsideOfCalls) connection.sendFd(fd);
  };
  const client = await dial(address, { options: { onConnection } });
  const fds = grpcfd.callCredentials();
  const names = inReply || outsideOfCalls ? { ref: '' } : fds.sendFd(fd);
  const call = client.unary({ ref: names.ref, url: 'url' in names ? names.url : '' }, fds.options());
  if (!inReply && !outsideOfCalls) native.close(fd);
  if (shutsDown) {
    await running.promise;
    server.forceShutdown();
    await assert.rejects(call);
  } else await settledWithin(SOON_MS, 'the call ends', call);
  if (outsideOfCalls) native.close(fd);
  fds.close();
  if (!shutsDown) await settledWithin(SOON_MS, 'another call ends', client.unary({}));
}

for (const [what, place] of Object.entries(PLACES)) {
  test(`a socket that lingers, ${what}`, async () => {
    const { fd, letGo } = lingering();
    await pass(fd, place);
    await hanging(1);
    letGo();
    await allClosed();
  });

  test(`a file whose server does not answer, ${what}`, async (t) => {
    const system = await slowFileSystem();
    if (system === undefined) return t.skip('this process may not mount a FUSE file system');
    await pass(native.open(system.file, constants.O_RDONLY, 0), place);
    assert.ok(native.pendingCloses() > 0);
    await system.end();
    await allClosed();
  });
}

test('what is on a file system that does not answer is received by its URL and by its reference', async (t) => {
  const system = hangingFileSystem();
  if (system === undefined) return t.skip('this process may not mount a FUSE file system');
  const { address } = await serve({
    unary: grpcfd.handler(async (call, fds) => {
      const { ref, url } = call.request as { ref: string; url: string };
      await using named = await fds.recvFile(url);
      await using file = await fds.recvFile(ref);
      return { kinds: [named.kind, file.kind], urls: [named.url, file.url] };
    }),
  });
  const client = await dial(address);
  const fds = grpcfd.callCredentials();
  const root = native.open(system.path, native.O_PATH, 0);
  const { ref, url } = fds.sendFd(root);
  native.close(root);
  const reply = await settledWithin(SOON_MS, 'the call ends', client.unary({ ref, url }, fds.options()));
  assert.deepEqual(reply, { kinds: ['directory', 'directory'], urls: [url, url] });
  fds.close();
  await allClosed();
  return undefined;
});

test('a file that is collected unclosed, a socket that lingers', async () => {
  const { fd, letGo } = lingering();
  const gone = new WeakRef(new grpcfd.ReceivedFile(fd));
  const warned = new Promise((resolve) => process.once('warning', resolve));
  while (gone.deref() !== undefined) {
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.gc?.();
  }
  await settledWithin(SOON_MS, 'the warning comes', warned);
  await hanging(1);
  letGo();
  await allClosed();
});

test('close() resolves when the descriptor is closed, and a second close() gives the same promise', async () => {
  const { fd, letGo } = lingering();
  const file = new grpcfd.ReceivedFile(fd);
  let isClosed = false;
  const closing = file.close().then(() => {
    isClosed = true;
  });
  assert.equal(file.close(), file.close());
  await hanging(1);
  assert.equal(isClosed, false);
  letGo();
  await settledWithin(SOON_MS, 'it is closed', closing);
  assert.throws(() => closeSync(fd), { code: 'EBADF' });
});
