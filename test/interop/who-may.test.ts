/** What `authorize`, `methods` and `acceptFds` mean for a Go client. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpcfd from 'grpcfd';
import type { Security } from '../../interop/node/security.js';
import { eventsOf } from '../support/events.js';
import { trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { within } from '../support/until.js';
import { goClient, serveUnary, useWorkplace, withoutGo } from './peers.js';

trackDescriptors();
useWorkplace();

const SECURITIES: readonly Security[] = ['plaintext', 'tls', 'mtls'];
const UNARY = '/grpcfd.interop.v1.Exchange/Unary';

const freshTarget = (): string => `unix:${join(temporaryDirectory(), 'server.sock')}`;

/** Receives all files of a call, and says what went wrong. */
async function receiveAll(
  files: readonly { readonly url: string }[] = [],
  fds: grpcfd.FdServerCall,
): Promise<{ received: number; failures: string[] }> {
  const outcome = { received: 0, failures: [] as string[] };
  for (const { url } of files) {
    try {
      await (await fds.recvFile(url, { timeoutMs: 10_000 })).close();
      outcome.received++;
    } catch (error) {
      outcome.failures.push((error as grpcfd.GrpcFdError).reason);
    }
  }
  return outcome;
}

for (const security of SECURITIES) {
  test(`${security}: a Go client whose process authorize() admits late has its files received`, {
    skip: withoutGo,
  }, async () => {
    const asked: grpcfd.Peer[] = [];
    const authorize = async (peer: grpcfd.Peer) => {
      asked.push(peer);
      return delay(50, true);
    };
    const { target, connections } = await serveUnary(
      security,
      async (call, fds) => ({ outcome: await receiveAll(call.request.files, fds) }),
      freshTarget(),
      { authorize },
    );
    const run = goClient();
    // The files leave before the first byte of the connection, while nobody reads it.
    for (const op of ['exchange', 'preface'] as const) {
      const result = await run({
        op,
        target,
        security,
        rpc: 'unary',
        direction: 'c2s',
        kind: 'REGULAR',
        fds: 3,
        receiveMs: 10_000,
      });
      assert.equal(result.ok, true, result.reason);
    }
    assert.ok(asked.length >= 1 && asked.every(({ pid }) => pid !== process.pid));
    assert.ok(connections.every(({ peer }) => peer?.pid === asked[0]?.pid));
  });

  test(`${security}: a Go client that authorize() refuses gets UNAVAILABLE, and nothing of it is read`, {
    skip: withoutGo,
  }, async () => {
    const events = eventsOf<grpcfd.ConnectionRefusedEvent>('grpcfd:connection:refused');
    const before = grpcfd.stats().receivedFds;
    const { target, connections } = await serveUnary(security, () => ({}), freshTarget(), {
      authorize: () => delay(20, false),
    });
    const result = await goClient()({
      target,
      security,
      rpc: 'unary',
      direction: 'c2s',
      kind: 'REGULAR',
      fds: 3,
      receiveMs: 300,
    });
    assert.equal(result.ok, false);
    await within(10_000, 'the event comes', () => events.length > 0);
    assert.deepEqual([connections, grpcfd.stats().receivedFds], [[], before]);
  });

  test(`${security}: the rule of a method holds for the files of a Go client when the handler receives them`, {
    skip: withoutGo,
  }, async () => {
    const outcomes: { received: number; failures: string[] }[] = [];
    const methods = { [UNARY]: { maxFds: 2, kinds: 'file' } } as const;
    const { target } = await serveUnary(
      security,
      async (call, fds) => {
        outcomes.push(await receiveAll(call.request.files, fds));
        return { outcome: outcomes.at(-1) ?? null };
      },
      freshTarget(),
      { methods },
    );
    const run = goClient();
    for (const [kind, fds] of [
      ['REGULAR', 3],
      ['DIRECTORY', 1],
    ] as const) {
      await run({ target, security, rpc: 'unary', direction: 'c2s', kind, fds, receiveMs: 10_000 });
    }
    assert.deepEqual(outcomes, [
      { received: 2, failures: ['ERR_GRPCFD_TOO_MANY_DESCRIPTORS'] },
      { received: 0, failures: ['ERR_GRPCFD_UNEXPECTED_KIND'] },
    ]);
  });
}
