/** Sockets that one process has and another one serves: each kind, in both directions. */
import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import { describe, test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { converse, KINDS } from '../support/kinds.js';
import { startServerProcess } from '../support/server-process.js';
import { dial, type Message, type Security, type TestClient } from '../support/service.js';
import { SOCKET_SPECIMENS } from '../support/socket-specimens.js';
import { sharedState } from '../support/sockets.js';

const O_NONBLOCK = 0o4000;

async function startServer(security: Security): Promise<TestClient> {
  return dial(await startServerProcess('./fixtures/sockets-server.js', import.meta.url, security), {
    security,
  });
}

async function ask(client: TestClient, request: Message, fds = grpcfd.callCredentials()): Promise<Message> {
  const [reply] = await converse(client, 'unary', [request], fds.options());
  return reply ?? assert.fail();
}

/** The server process has no more descriptors than before. */
async function assertNothingLeft(client: TestClient, before: Message): Promise<void> {
  const deadline = performance.now() + 5_000;
  for (;;) {
    const { count } = await ask(client, { act: 'count' });
    if (Number(count) <= Number(before['count'])) return;
    assert.ok(
      performance.now() < deadline,
      `the server has ${count} descriptors, and had ${before['count']}`,
    );
  }
}

describe('Sockets in another process', () => {
  trackDescriptors();

  for (const security of ['plaintext', 'TLS'] as const) {
    for (const name of ['url', 'ref'] as const) {
      test(`A server under ${security} serves what it received by ${name}`, async () => {
        const client = await startServer(security);
        const before = await ask(client, { act: 'count' });
        for (const [index, { what, make }] of SOCKET_SPECIMENS.entries()) {
          const { thing, close, talk } = await make();
          const fds = grpcfd.callCredentials();
          const file = fds.sendFile(thing as grpcfd.SendableObject)[name];
          const kind = KINDS[index % KINDS.length] ?? 'unary';
          const [reply] = await converse(client, kind, [{ act: 'serve', index, file }], fds.options());
          close();
          assert.equal(await talk(what), `process ${reply?.['pid']} heard: ${what}`);
          fds.close();
        }
        await assertNothingLeft(client, before);
      });

      test(`A client under ${security} serves what it received by ${name}`, async () => {
        const client = await startServer(security);
        const before = await ask(client, { act: 'count' });
        for (const [index, { what, serve }] of SOCKET_SPECIMENS.entries()) {
          const fds = grpcfd.callCredentials();
          const made = await ask(client, { act: 'make', index }, fds);
          serve(await fds.recvFile(String(made[name])));
          fds.close();
          const { answer } = await ask(client, { act: 'talk', question: what });
          assert.equal(answer, `process ${process.pid} heard: ${what}`);
        }
        await assertNothingLeft(client, before);
      });
    }
  }

  test('The flags and the offset of the sender stay as they were, until the receiver takes the socket over', async () => {
    const client = await startServer('plaintext');
    const [mine, theirs] = native.socketPair();
    defer(() => native.closeAll([mine, theirs]));
    native.setNonBlocking(theirs, false);
    const before = sharedState(theirs);
    const fds = grpcfd.callCredentials();
    const { ref } = fds.sendFd(theirs);
    assert.equal(sharedState(theirs), before);
    writeSync(mine, 'x');
    assert.deepEqual(await ask(client, { step: 'look', file: ref }, fds), { bytesRead: 1 });
    assert.equal(sharedState(theirs), before);
    await ask(client, { step: 'take' });
    assert.equal(native.statusFlags(theirs) & O_NONBLOCK, O_NONBLOCK);
    fds.close();
  });
});
