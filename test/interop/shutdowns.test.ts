/**
 * Servers that end their connections while Go clients call them. A Go client repeats a call that a server refused, in silence, and
 * sends its file only once: a handler then waits for it in vain.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpcfd from 'grpcfd';
import { exchangeService, healthService, type Reply, type Request } from '../../interop/node/protocol.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { bind, freshAddress, shutDown } from '../support/service.js';
import { goClient, useWorkplace, withoutGo } from './peers.js';

trackDescriptors();
useWorkplace();

const CLIENTS = 4;
const CALLS = 1_000;

/**
 * grpc-go also loses files by itself, with servers of its own, too: where it leaves a connection between taking a call's file and
 * starting its stream. On a busy machine that is one of 4,000 in the mean, and four were seen. When the server refuses calls that are under way,
 * 14 to 16 are lost.
 */
const LOST_BY_GO = 7;
const ROW = { security: 'plaintext', rpc: 'unary', direction: 'c2s', kind: 'UNLINKED', fds: 1 } as const;

/** A server that takes the file of each call. */
class Taker {
  taken = 0;
  readonly lost: string[] = [];

  async serve(
    target: string,
    options?: ConstructorParameters<typeof grpcfd.Server>[0],
  ): Promise<grpcfd.Server> {
    const server = new grpcfd.Server(options);
    server.addService(exchangeService, {
      Unary: grpcfd.handler<Request, Reply>(async ({ request }, fds) => {
        for (const { url, evidence } of request.files ?? []) {
          try {
            await using file = await fds.recvFile(url, { timeoutMs: 1_000 });
            assert.equal(await file.readFile('utf8'), evidence);
            this.taken++;
          } catch (error) {
            this.lost.push(String(error));
          }
        }
        return { outcome: { received: 1, failures: [] } };
      }),
    });
    server.addService(healthService, { Check: grpcfd.handler(() => ({ status: 'SERVING' })) });
    await bind(server, target, grpcfd.serverCredentials());
    return server;
  }
}

/** Go clients that call without a pause, each on a connection of its own. */
async function runClients(target: string): Promise<void> {
  const run = async () => {
    const row = { ...ROW, target, keep: true, times: CALLS, receiveMs: 30_000 };
    const { reason } = await goClient()(row);
    assert.equal(reason, undefined);
  };
  await Promise.all(Array.from({ length: CLIENTS }, run));
}

test('a server that shuts down and starts again under Go clients refuses none of their calls', {
  skip: withoutGo,
}, async (t) => {
  const target = freshAddress();
  const taker = new Taker();
  let clientsRun = true;
  const shutdowns: Promise<void>[] = [];
  let server = await taker.serve(target);
  const restartAgainAndAgain = async () => {
    while (clientsRun) {
      // So many calls that all clients are connected again.
      const taken = taker.taken + CALLS / 10;
      while (clientsRun && taker.taken < taken) await delay(1);
      shutdowns.push(shutDown(server));
      // At once: grpc-go waits for a second before it connects again where nobody listened.
      server = await taker.serve(target);
    }
  };
  const restarting = restartAgainAndAgain();
  await runClients(target).finally(() => {
    clientsRun = false;
  });
  await restarting;
  await Promise.all([...shutdowns, shutDown(server)]);
  t.diagnostic(`${taker.taken} files, ${shutdowns.length} shutdowns`);
  assert.ok(taker.lost.length <= LOST_BY_GO, taker.lost.join('\n'));
  assert.equal(taker.taken + taker.lost.length, CLIENTS * CALLS);
});

test('a server that ends connections by age under Go clients refuses none of their calls', {
  skip: withoutGo,
}, async (t) => {
  const target = freshAddress();
  const taker = new Taker();
  const server = await taker.serve(target, { 'grpc.max_connection_age_ms': 30 });
  defer(() => shutDown(server));
  await runClients(target);
  t.diagnostic(`${taker.taken} files`);
  assert.ok(taker.lost.length <= LOST_BY_GO, taker.lost.join('\n'));
  assert.equal(taker.taken + taker.lost.length, CLIENTS * CALLS);
});
