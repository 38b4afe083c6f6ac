import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { startFixture } from '../support/child.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, freshAddress, type TestClient } from '../support/service.js';

trackDescriptors();

/** A client of another process that sends memory. */
async function dialMemoryServer(): Promise<{ client: TestClient; kill: () => Promise<unknown> }> {
  const address = freshAddress();
  const server = startFixture('./fixtures/memory-server.js', import.meta.url, [address]);
  const exited = once(server, 'close');
  const kill = () => {
    server.kill('SIGKILL');
    return exited;
  };
  defer(kill);
  if (server.stdout) await once(server.stdout, 'data');
  return { client: await dial(address), kill };
}

async function receive(client: TestClient, act: string): Promise<grpcfd.ReceivedFile> {
  using fds = grpcfd.callCredentials();
  const { file } = await client.unary({ act }, fds.options());
  return fds.recvFile(String(file));
}

test('A receiver maps memory that the sending process cannot truncate and, once it is sealed, cannot change', async () => {
  const { client, kill } = await dialMemoryServer();
  const outcome = async (act: string) => (await client.unary({ act }))['outcome'];
  await using file = await receive(client, 'send');
  using memory = file.map();
  assert.equal(memory.bytes.length, 1_000_000);
  assert.ok(memory.bytes.every((byte) => byte === 1));
  assert.equal(await outcome('cutShort'), 'EPERM');

  assert.equal(memory.immutable, false);
  assert.equal(await outcome('store'), 'done');
  assert.equal(memory.bytes[0], 2, 'it is the same memory');

  const writer = file.map({ writable: true });
  assert.equal(await outcome('seal'), 'EBUSY', 'this process could still write');
  writer.close();
  assert.equal(await outcome('seal'), 'done');
  assert.equal(await outcome('store'), 'EPERM');
  using final = file.map();
  assert.equal(final.immutable, true);
  assert.throws(() => file.map({ writable: true }), { reason: 'ERR_GRPCFD_NOT_MAPPABLE' });

  await kill();
  await file.close();
  assert.ok(
    memory.bytes.subarray(1).every((byte) => byte === 1),
    'it outlives its sender and its descriptor',
  );
});

test('Memory that the sending process could truncate is refused', async () => {
  const { client } = await dialMemoryServer();
  await using file = await receive(client, 'sendUnsealed');
  assert.throws(() => file.map(), { reason: 'ERR_GRPCFD_NOT_MAPPABLE', code: 9, details: /F_SEAL_SHRINK/ });
  assert.equal((await file.readFile()).length, 1_000_000, 'it can still be copied');
});
