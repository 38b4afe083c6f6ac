import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { certificates } from '../support/certificates.js';
import { startFixture } from '../support/child.js';
import { trackDescriptors } from '../support/fd-table.js';
import { Gate } from '../support/gate.js';
import { dial, freshAddress, type Security, serve } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

async function caFile(security: Security): Promise<string[]> {
  if (security === 'plaintext') return [];
  const path = join(temporaryDirectory(), 'ca.pem');
  writeFileSync(path, (await certificates()).server.cert);
  return [path];
}

for (const security of ['plaintext', 'TLS'] as Security[]) {
  for (const library of ['stock', 'grpcfd']) {
    test(`${security}: a process exits with an idle ${library} client that was never closed`, async () => {
      const { address } = await serve({ unary: grpcfd.handler(() => ({ served: true })) }, { security });
      for (const [method, expected] of [
        ['none', 'connected\n'],
        ['unary', '{"served":true}\n'],
      ] as const) {
        const args = [library, address, method, ...(await caFile(security))];
        const child = startFixture('./fixtures/exit-client.js', import.meta.url, args);
        const [[code], stdout] = await Promise.all([
          once(child, 'close'),
          child.stdout && text(child.stdout),
        ]);
        assert.deepEqual([code, stdout], [0, expected]);
      }
    });

    test(`${security}: a process with a running ${library} call stays until the call is answered`, async () => {
      const gate = new Gate();
      const { address } = await serve(
        {
          unary: grpcfd.handler(async () => {
            await gate.wait();
            return { served: 'late' };
          }),
        },
        { security },
      );
      const args = [library, address, 'unary', ...(await caFile(security))];
      const child = startFixture('./fixtures/exit-client.js', import.meta.url, args);
      const exited = once(child, 'close');
      await gate.reached;
      // A process that nothing keeps alive exits after a few turns of its event loop, in about 35 ms.
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(child.exitCode, null);
      gate.open();
      const [[code], stdout] = await Promise.all([exited, child.stdout && text(child.stdout)]);
      assert.deepEqual([code, stdout], [0, '{"served":"late"}\n']);
    });
  }
}

test('A server keeps its process alive, with and without connections, until it is shut down', async () => {
  const address = freshAddress();
  const child = startFixture('./fixtures/exit-server.js', import.meta.url, [address]);
  const exited = once(child, 'close');
  if (child.stdout !== null) await once(createInterface(child.stdout), 'line');
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(child.exitCode, null);
  const client = await dial(address);
  await client.unary({});
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(child.exitCode, null);
  await client.unary({ stop: true });
  assert.deepEqual(await exited, [0, null]);
});
