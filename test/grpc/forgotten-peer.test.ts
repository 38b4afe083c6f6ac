/** A peer that is kept after its connection could not be made: the number of its socket may be that of another one by then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { bothWays } from '../support/both-ways.js';
import { failure } from '../support/failure.js';
import { trackDescriptors } from '../support/fd-table.js';
import { dial, serve } from '../support/service.js';

trackDescriptors();

function isForgotten(peers: readonly grpcfd.Peer[]): void {
  assert.ok(peers.length > 0);
  for (const peer of peers) {
    assert.equal(peer.pid, process.pid);
    assert.equal(peer.pidfd(), undefined);
  }
}

for (const role of ['server', 'client'] as const) {
  test(`${role}: pidfd() gives nothing after account() has thrown`, async () => {
    const peers: grpcfd.Peer[] = [];
    const account = (peer: grpcfd.Peer) => {
      peers.push(peer);
      throw new Error('no account');
    };
    const options = { account };
    const { address } = await serve(bothWays, role === 'server' ? { options } : {});
    const client = await dial(address, role === 'client' ? { options } : {});
    await failure(client.unary({}));
    isForgotten(peers);
    client.grpc.close();
  });

  test(`${role}: pidfd() gives nothing after authorize() has refused`, async () => {
    const peers: grpcfd.Peer[] = [];
    const options = { authorize: async (peer: grpcfd.Peer) => peers.push(peer) < 0 };
    const { address } = await serve(bothWays, role === 'server' ? { options } : {});
    const client = await dial(address, role === 'client' ? { options } : {});
    await failure(client.unary({}));
    isForgotten(peers);
    client.grpc.close();
  });

  test(`${role}: pidfd() gives nothing when the connection cannot be made after authorize()`, async (t) => {
    const peers: grpcfd.Peer[] = [];
    const authorize = (peer: grpcfd.Peer) => peers.push(peer) > 0;
    const options = { authorize };
    const { address } = await serve(bothWays, role === 'server' ? { options } : {});
    const client = await dial(address, role === 'client' ? { options } : {});
    t.mock.method(native, 'socketPair', () => {
      throw Object.assign(new Error('EMFILE: socketpair'), { code: 'EMFILE' });
    });
    await failure(client.unary({}));
    t.mock.restoreAll();
    isForgotten(peers);
    client.grpc.close();
  });
}
