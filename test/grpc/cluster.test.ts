import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { startFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, freshAddress } from '../support/service.js';
import { fileWith } from '../support/temporary.js';

trackDescriptors();

/** What the workers said of their bind, and what stops them. */
async function startCluster(...args: string[]): Promise<{ said: string[]; stop(): Promise<unknown[]> }> {
  const child = startFixture('./fixtures/cluster-server.js', import.meta.url, args, {}, 30_000, 'pipe');
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
  test(`Workers of a cluster share a path, policy ${policy}, and descriptors reach their handlers`, async () => {
    const address = freshAddress();
    const { said, stop } = await startCluster(address, policy);
    assert.deepEqual(said, ['bound', 'bound']);
    const pids = new Set<unknown>();
    for (let index = 0; index < 8; index++) {
      const client = await dial(address, { clientOptions: { 'grpc.use_local_subchannel_pool': 1 } });
      const file = fileWith(`file ${index}`);
      const fds = grpcfd.callCredentials();
      const { ref } = fds.sendFd(file);
      closeSync(file);
      const { pid, content } = await client.unary({ file: ref }, fds.options());
      assert.equal(content, `file ${index}`);
      pids.add(pid);
      client.grpc.close();
    }
    // Without the policy of turns, one of them may take all.
    if (policy === 'rr') assert.equal(pids.size, 2);
    assert.deepEqual(await stop(), [0, null]);
    assert.equal(existsSync(address.slice('unix:'.length)), false);
  });
}

test('A worker that wants a mode for the socket file listens by itself', async () => {
  const { said, stop } = await startCluster(freshAddress(), 'rr', '0o600');
  assert.equal(said.filter((line) => line === 'bound').length, 1);
  assert.equal(said.filter((line) => line.includes('EADDRINUSE')).length, 1);
  assert.deepEqual(await stop(), [0, null]);
});
