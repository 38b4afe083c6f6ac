/** Eventfds between a client and a server in another process. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { sharedState } from '../support/idle.js';
import { converse, KINDS, type Kind } from '../support/kinds.js';
import { startServerProcess } from '../support/server-process.js';
import { dial, type Message, type Security, type TestClient } from '../support/service.js';

async function connect(security: Security = 'plaintext'): Promise<TestClient> {
  return dial(await startServerProcess('./fixtures/bell-server.js', import.meta.url, security), { security });
}

/** A blocking eventfd, as C programs make them, whose state must not change; or one of createEventFd(). */
function newBell(isBlocking: boolean): grpcfd.EventFd {
  if (!isBlocking) {
    const bell = grpcfd.createEventFd();
    defer(() => bell.close());
    return bell;
  }
  const fd = native.testing.eventFd();
  native.setNonBlocking(fd, false);
  const bell = new grpcfd.ReceivedFile(fd).toEventFd();
  const before = sharedState(fd);
  defer(() => {
    assert.equal(sharedState(fd), before);
    bell.close();
  });
  return bell;
}

async function ask(client: TestClient, kind: Kind, request: Message, fds = grpcfd.callCredentials()) {
  const [reply = {}] = await converse(client, kind, [request], fds.options());
  fds.close();
  return reply;
}

describe('An eventfd that goes to a server in another process', () => {
  trackDescriptors();

  for (const security of ['plaintext', 'TLS'] as const) {
    for (const name of ['ref', 'url'] as const) {
      test(`is rung there, and waited for there, by ${name} under ${security}`, async () => {
        const client = await connect(security);
        for (const [index, kind] of KINDS.entries()) {
          const bell = newBell(index % 2 === 0);
          const send = (act: string) => {
            const fds = grpcfd.callCredentials();
            return ask(client, kind, { act, file: fds.sendFile(bell)[name] }, fds);
          };
          const values = bell.values();
          const first = values.next();
          await send('ring');
          let rings = (await first).value;
          while (rings < 3n) rings += (await values.next()).value;
          assert.equal(rings, 3n, kind);
          const waiting = send('wait');
          bell.notify();
          assert.deepEqual(await waiting, { rings: '1' }, kind);
          const early = send('wait');
          await turn();
          bell.notify();
          assert.deepEqual(await early, { rings: '1' }, kind);
        }
      });

      test(`is made there and rung here, by ${name} under ${security}`, async () => {
        const client = await connect(security);
        for (const bell of KINDS) {
          const fds = grpcfd.callCredentials();
          const [reply = {}] = await converse(client, 'unary', [{ act: 'make', bell }], fds.options());
          const file = await fds.recvFile(String(reply[name]), { expect: { kind: 'eventfd' } });
          fds.close();
          const before = sharedState(file.fd);
          using own = file.toEventFd();
          const waiting = ask(client, bell, { act: 'wait for own', bell });
          own.notify();
          assert.deepEqual(await waiting, { rings: '1' });
          assert.equal(sharedState(own.fd), before);
        }
      });
    }
  }

  test('ends its iterations with the call, and can still be rung', async () => {
    const client = await connect();
    const bell = newBell(true);
    const fds = grpcfd.callCredentials();
    await ask(client, 'unary', { act: 'leave', file: fds.sendFile(bell).ref }, fds);
    assert.deepEqual(await ask(client, 'unary', { act: 'ended' }), { ended: ['ERR_GRPCFD_CALL_ENDED'] });
    assert.equal((await bell.values().next()).value, 1n, 'of the server, after the call');
  });

  test('goes on behind the call as a duplicate', async () => {
    const client = await connect();
    const bell = newBell(true);
    const fds = grpcfd.callCredentials();
    await ask(client, 'unary', { act: 'keep', name: 'kept', file: fds.sendFile(bell).ref }, fds);
    const waiting = ask(client, 'unary', { act: 'wait for own', bell: 'kept' });
    bell.notify();
    assert.deepEqual(await waiting, { rings: '1' });
  });
});
