import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { native } from '#src/native/binding.js';
import { assertBothWays } from '../support/both-ways.js';
import { sharedCertificates } from '../support/certificates.js';
import { startFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, freshAddress, SECURITIES } from '../support/service.js';

trackDescriptors();

/** What the workers said of their bind, and what stops them. */
async function startCluster(...args: string[]): Promise<{ said: string[]; stop(): Promise<unknown[]> }> {
  return startClusterIn({}, ...args);
}

async function startClusterIn(
  env: NodeJS.ProcessEnv,
  ...args: string[]
): Promise<{ said: string[]; stop(): Promise<unknown[]> }> {
  const child = startFixture(
    './fixtures/cluster-server.js',
    import.meta.url,
    args,
    { ...(await sharedCertificates()), ...env },
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

test('A worker that wants a mode for the socket file listens by itself, and the second is told why it cannot', async () => {
  const { said, stop } = await startCluster(freshAddress(), 'rr', 'plaintext', '0o600');
  assert.deepEqual(said.map((line) => line === 'bound').sort(), [false, true]);
  assert.match(
    said.join(),
    /EADDRINUSE.*in a worker of node:cluster, a server with the option mode listens by itself/,
  );
  assert.deepEqual(await stop(), [0, null]);
});

for (const policy of ['rr', 'none']) {
  test(`A cluster replaces the dead socket file of the one before, policy ${policy}`, async () => {
    const address = freshAddress();
    const path = address.slice('unix:'.length);
    native.close(native.bindUnix(Buffer.from(path)));
    assert.ok(existsSync(path));
    const { said, stop } = await startCluster(address, policy, 'plaintext');
    assert.deepEqual(said, ['bound', 'bound']);
    const client = await dial(address);
    await assertBothWays(client);
    client.grpc.close();
    assert.deepEqual(await stop(), [0, null]);
  });
}

for (const policy of ['rr', 'none']) {
  test(`workers of a cluster ask authorize() before they read anything, policy ${policy}`, async () => {
    const address = freshAddress();
    const { said, stop } = await startClusterIn({ DECIDE_LATE: '1' }, address, policy, 'TLS');
    assert.deepEqual(said, ['bound', 'bound']);
    const client = await dial(address, { security: 'TLS' });
    await assertBothWays(client);
    client.grpc.close();
    assert.deepEqual(await stop(), [0, null]);

    const refusing = await startClusterIn({ REFUSE_ALL: '1' }, address, policy, 'plaintext');
    const refused = await dial(address);
    await assert.rejects(refused.unary({}), { code: status.UNAVAILABLE });
    refused.grpc.close();
    assert.deepEqual(await refusing.stop(), [0, null]);
  });
}
