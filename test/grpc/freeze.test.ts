import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { sharedCertificates } from '../support/certificates.js';
import { runFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { serveFrames } from '../support/frame-peer.js';
import { goaway, settings } from '../support/http2-frames.js';
import { randomFrom, seedOfThisRun } from '../support/random.js';
import {
  bind,
  freshAddress,
  type Security,
  shutDown,
  stockServerCredentials,
  testService,
} from '../support/service.js';

trackDescriptors();

/** After this a client is taken to be frozen. */
const FROZEN_MS = 20_000;
const { OK, UNAVAILABLE } = grpc.status;

/** How the calls of a client in a process of its own ended. */
async function callsOf(
  address: string,
  security: Security,
  { count, patient }: { count: number; patient: boolean },
): Promise<grpc.status[]> {
  const args = [address, security, String(count), String(patient)];
  const env = await sharedCertificates();
  const client = await runFixture('fixtures/calling-client.js', import.meta.url, args, env, FROZEN_MS);
  assert.deepEqual([client.code, client.signal, client.stderr], [0, null, '']);
  return JSON.parse(client.stdout) as grpc.status[];
}

for (const security of ['plaintext', 'TLS'] as const) {
  // A stock server ends its connections at once, ours in two steps.
  for (const kind of ['stock', 'ours'] as const) {
    test(`${security}: a client goes on while a server, ${kind}, shuts down and starts again and again`, async (t) => {
      const seed = seedOfThisRun();
      t.diagnostic(`GRPCFD_SEED=${seed}`);
      const random = randomFrom(seed);
      const address = freshAddress();
      let clientRuns = true;
      const serveAgainAndAgain = async () => {
        while (clientRuns) {
          const server = kind === 'stock' ? new grpc.Server() : new grpcfd.Server();
          server.addService(testService, {
            unary: (_call: object, callback: grpc.sendUnaryData<unknown>) => callback(null, {}),
          });
          const stock = await stockServerCredentials(security);
          await bind(server, address, kind === 'stock' ? stock : grpcfd.serverCredentials(stock));
          // Some time between a connect and the end of a call.
          await delay(random(15));
          await shutDown(server);
        }
      };
      const server = serveAgainAndAgain();
      defer(() => server);
      const codes = await callsOf(address, security, { count: 1_000, patient: true }).finally(() => {
        clientRuns = false;
      });
      assert.equal(codes.length, 1_000);
      assert.deepEqual(
        codes.filter((code) => code !== OK && code !== UNAVAILABLE),
        [],
      );
      // On a busy machine, more calls meet a shutdown.
      assert.ok(codes.filter((code) => code === OK).length > 500);
    });
  }

  test(`${security}: a server that sends SETTINGS and GOAWAY in one write fails the calls of a client, and nothing more`, async () => {
    let connections = 0;
    const address = await serveFrames(security, (peer) => {
      connections++;
      peer.write(settings(), goaway(0));
      // The client has nothing to wait for on such a connection.
      defer(() => peer.destroy());
    });
    assert.deepEqual(
      await callsOf(address, security, { count: 50, patient: false }),
      new Array(50).fill(UNAVAILABLE),
    );
    assert.ok(connections > 1, 'it connects anew');
  });
}
