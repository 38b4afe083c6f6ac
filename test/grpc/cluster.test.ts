import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { assertBothWays } from '../support/both-ways.js';
import { sharedCertificates } from '../support/certificates.js';
import { startFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, freshAddress, SECURITIES } from '../support/service.js';

trackDescriptors();

/** What the workers said of their bind, and what stops them. */
async function startCluster(...args: string[]): Promise<{ said: string[]; stop(): Promise<unknown[]> }> {
  const child = startFixture(
    './fixtures/cluster-server.js',
    import.meta.url,
    args,
    await sharedCertificates(),
    30_000,
    'pipe',
  );
  const exited = once(child, 'exit');
  defer(() => void child.kill('SIGKILL'));
  assert.ok(child.stdin && child.stdout);
  const said: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    if (line === 'ready') break;
    said.push(line);
  }
  const stop = () => {
    child.stdin?.end();
    return exited;
  };
  return { said, stop };
}

for (const policy of ['rr', 'none']) {
  for (const security of SECURITIES) {
    test(`${security}: workers of a cluster share a path, policy ${policy}, and descriptors travel both ways`, async () => {
      const address = freshAddress();
      const { said, stop } = await startCluster(address, policy, security);
      assert.deepEqual(said, ['bound', 'bound']);
      const pids = new Set<unknown>();
      for (let index = 0; index < 8; index++) {
        const clientOptions = { 'grpc.use_local_subchannel_pool': 1 };
        const client = await dial(address, { security, clientOptions });
        pids.add((await assertBothWays(client, `file ${index}`)).pid);
        client.grpc.close();
      }
      // Without the policy of turns, one of them may take all.
      if (policy === 'rr') assert.equal(pids.size, 2);
      assert.deepEqual(await stop(), [0, null]);
      assert.equal(existsSync(address.slice('unix:'.length)), false);
    });
  }
}

test('A worker that wants a mode for the socket file listens by itself', async () => {
  const { said, stop } = await startCluster(freshAddress(), 'rr', 'plaintext', '0o600');
  assert.equal(said.filter((line) => line === 'bound').length, 1);
  assert.equal(said.filter((line) => line.includes('EADDRINUSE')).length, 1);
  assert.deepEqual(await stop(), [0, null]);
});
