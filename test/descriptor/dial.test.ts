/** connect(): a socket file that came as O_PATH is dialled. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { type GrpcFdError, openFile, ReceivedFile } from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { runFixture } from '../support/child.js';
import { datagramReceiver } from '../support/datagram-receiver.js';
import { assertFails, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { fullListener } from '../support/full-listener.js';
import { dial, freshAddress, SECURITIES, serve } from '../support/service.js';
import { fileWith, temporaryDirectory } from '../support/temporary.js';
import { receivedPath } from '../support/tree.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function listen(onSocket: (socket: Socket) => void): Promise<{ path: string; server: Server }> {
  const path = join(temporaryDirectory(), 'socket');
  const server = createServer(onSocket);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  defer(() => server.close());
  return { path, server };
}

describe('connect()', () => {
  trackDescriptors();

  test('dials a socket file, also when its name is gone, and leaves the socket file as it is', async () => {
    const { path } = await listen((socket) => socket.pipe(socket));
    const { file } = receivedPath(path, O_PATH);
    unlinkSync(path);
    for (const word of ['one', 'two']) {
      const socket = await file.connect();
      assert.equal(socket.connecting, false);
      socket.end(word);
      assert.equal(await text(socket), word);
    }
  });

  test('gives a socket from which nothing is read before its user reads', async () => {
    const accepted: Socket[] = [];
    const { path } = await listen((peer) => accepted.push(peer.end('first bytes')));
    const { file } = receivedPath(path, O_PATH);
    const sockets = [await file.connect(), await file.connect(), await file.connect()] as const;
    const seen: unknown[] = [];
    for (const socket of sockets) socket.once('close', () => seen.push(socket));
    while (accepted.length < 3) await turn();
    await Promise.all(accepted.map((peer) => peer.writableFinished || once(peer, 'finish')));
    for (let turns = 0; turns < 10; turns++) await turn();
    assert.deepEqual(
      sockets.map(({ bytesRead, readableLength, readableFlowing }) => [
        bytesRead,
        readableLength,
        readableFlowing,
      ]),
      [0, 0, null].map(() => [0, 0, null]),
    );
    const [flowing, waited, iterated] = sockets;
    const chunks: Buffer[] = [];
    flowing.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(flowing, 'end');
    assert.equal(String(Buffer.concat(chunks)), 'first bytes');
    await once(waited, 'readable');
    assert.equal(String(waited.read()), 'first bytes');
    waited.destroy();
    assert.equal(await text(iterated), 'first bytes');
  });

  for (const security of SECURITIES) {
    test(`gives what carries calls and descriptors over ${security}, also some time later`, async () => {
      const address = freshAddress();
      await serve(bothWays, { security, address });
      const { file } = receivedPath(address.slice('unix:'.length), O_PATH);
      const connects = [
        () => file.connect(),
        async () => {
          const socket = await file.connect();
          // The first bytes of the server are here.
          for (let turns = 0; turns < 20; turns++) await turn();
          return socket;
        },
      ];
      for (const connect of connects) {
        await assertBothWays(await dial('fd:connect', { security, options: { connect } }));
      }
    });
  }

  test('waits while the backlog is full, without stopping the event loop', async () => {
    const path = join(temporaryDirectory(), 'socket');
    const { accept } = fullListener(path);
    const { file } = receivedPath(path, O_PATH);
    let isDone = false;
    const connecting = file.connect().then((socket) => {
      isDone = true;
      socket.destroy();
      return once(socket, 'close');
    });
    for (let turns = 0; turns < 50; turns++) await turn();
    assert.equal(isDone, false);
    accept();
    await connecting;
  });

  test('gives up a full backlog at a signal, at its time limit, and when the file is closed', async () => {
    const path = join(temporaryDirectory(), 'socket');
    fullListener(path);
    const { file } = receivedPath(path, O_PATH);
    const reason = new Error('enough');
    const abort = new AbortController();
    const aborted = failure(file.connect({ signal: abort.signal }));
    const late = failure(file.connect({ timeoutMs: 20 }));
    const closed = failure(file.connect());
    await turn();
    abort.abort(reason);
    const error = (await aborted) as GrpcFdError;
    assert.deepEqual([error.reason, error.cause], ['ERR_GRPCFD_ABORTED', reason]);
    assert.equal(error.details, `connecting to ${file.url} was aborted`);
    await assertFails(
      late.then((cause) => Promise.reject(cause)),
      'ERR_GRPCFD_TIMEOUT',
      'DEADLINE_EXCEEDED',
    );
    // Nothing that was given up takes the turn of others.
    const many = Array.from({ length: 20 }, () => failure(file.connect({ timeoutMs: 20 })));
    await Promise.all(many);
    await (await openFile('/proc/version')).close();
    await file.close();
    assert.equal(((await closed) as GrpcFdError).reason, 'ERR_GRPCFD_FILE_CLOSED');
    await assertFails(file.connect(), 'ERR_GRPCFD_FILE_CLOSED', 'FAILED_PRECONDITION');
  });

  test('is refused where nobody listens, and where the socket is of another type', async () => {
    const path = join(temporaryDirectory(), 'socket');
    native.close(native.bindUnix(Buffer.from(path)));
    const { file } = receivedPath(path, O_PATH);
    const refused = await assertFails(file.connect(), 'ERR_GRPCFD_CONNECT_FAILED', 'UNAVAILABLE');
    assert.match(
      refused.details,
      /^inode:.* could not be connected to: ECONNREFUSED: .*, connect \(no process listens/,
    );
    const datagrams = join(temporaryDirectory(), 'datagrams');
    datagramReceiver(datagrams);
    const { file: other } = receivedPath(datagrams, O_PATH);
    const wrong = await assertFails(other.connect(), 'ERR_GRPCFD_CONNECT_FAILED', 'INVALID_ARGUMENT');
    assert.equal((wrong.cause as NodeJS.ErrnoException).code, 'EPROTOTYPE');
  });

  test('is refused without the right to write to the socket file', {
    skip: process.getuid?.() !== 0 && 'only root can become somebody else',
  }, async () => {
    const { path } = await listen((socket) => socket.destroy());
    chmodSync(path, 0o600);
    const { code, stdout, stderr } = await runFixture('./fixtures/other-user-dial.js', import.meta.url, [
      path,
    ]);
    assert.deepEqual([code, stdout], [0, 'ERR_GRPCFD_CONNECT_FAILED EACCES\n'], stderr);
  });

  test('refuses what is no socket file, and wrong options', async () => {
    await using file = new ReceivedFile(fileWith('content'));
    const error = await assertFails(file.connect(), 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
    assert.equal(
      error.details,
      `${file.url} is of the kind file, but connect() needs one of the kind socket`,
    );
    const [one, two] = native.socketPair();
    native.close(two);
    await using open = new ReceivedFile(one);
    const openError = await assertFails(open.connect(), 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION');
    assert.match(openError.details, /is a socket that is open, and connect\(\) needs a socket file/);
    const { path } = await listen((socket) => socket.destroy());
    const { file: socketFile } = receivedPath(path, O_PATH);
    for (const options of [{ timeoutMs: 0 }, { timeoutMs: '1' }, { signal: 'now' }, { path: 'x' }, null]) {
      const connecting = socketFile.connect(options as never);
      await assert.rejects(connecting, { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' }, JSON.stringify(options));
    }
    await assertFails(socketFile.connect({ signal: AbortSignal.abort() }), 'ERR_GRPCFD_ABORTED', 'CANCELLED');
  });
});
