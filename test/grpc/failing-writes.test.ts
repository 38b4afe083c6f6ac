import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:os';
import { test } from 'node:test';
import { type ServiceError, status } from '@grpc/grpc-js';
import { sharedCertificates } from '../support/certificates.js';
import { runFixture, startFixture } from '../support/child.js';
import { failingSyscalls, whyNoFaults } from '../support/failing-syscalls.js';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, freshAddress, serve } from '../support/service.js';

trackDescriptors();

const skip = whyNoFaults();
const { EIO, EPERM, EBADF, EMFILE } = constants.errno;
const FATAL = { EIO, EPERM, EBADF, EMFILE };
const NEXT_CALL_MS = 1_000;

async function environment(): Promise<NodeJS.ProcessEnv> {
  return { ...(await sharedCertificates()), LD_PRELOAD: failingSyscalls() };
}

for (const security of ['plaintext', 'TLS'] as const) {
  test(`${security}: a server's write that fails for good costs its connection, and the next call has a new one`, {
    skip,
  }, async () => {
    const address = freshAddress();
    const server = startFixture(
      'fixtures/failing-server.js',
      import.meta.url,
      [address, security],
      await environment(),
    );
    defer(async () => {
      const ended = once(server, 'close');
      server.kill('SIGKILL');
      await ended;
    });
    assert.ok(server.stdout);
    await once(server.stdout, 'data');
    let connections = 0;
    const onConnection = () => {
      connections++;
    };
    const client = await dial(address, { security, options: { onConnection } });
    await client.unary({});
    for (const [name, errno] of Object.entries(FATAL)) {
      const deadline = Date.now() + 5_000;
      const error = (await failure(client.unary({ errno }, { deadline }))) as ServiceError;
      assert.equal(error.code, status.UNAVAILABLE, name);
      await client.unary({}, { deadline: Date.now() + NEXT_CALL_MS });
    }
    const count = Object.keys(FATAL).length;
    const { failures } = (await client.unary({ count: true })) as { failures: number };
    assert.ok(failures >= count);
    assert.equal(connections, count + 1);
  });

  test(`${security}: a client's write that fails for good fails its calls with the reason, and the next call has a new connection`, {
    skip,
  }, async () => {
    const { address } = await serve(
      { unary: (_call, callback) => callback(null, {}) },
      { security, serverOptions: { 'grpc-node.flow_control_window': 2 ** 22 } },
    );
    const args = [address, security, ...Object.values(FATAL).map(String)];
    const { code, stdout, stderr } = await runFixture(
      'fixtures/failing-client.js',
      import.meta.url,
      args,
      await environment(),
      30_000,
    );
    assert.deepEqual([code, stderr], [0, '']);
    const { outcomes, failures, connections } = JSON.parse(stdout);
    for (const [index, name] of Object.keys(FATAL).entries()) {
      const { failed, next } = outcomes[index];
      assert.match(failed, new RegExp(`^${status.UNAVAILABLE} the connection failed: ${name}: .*, sendmsg$`));
      assert.equal(next, 'ok', name);
    }
    assert.ok(failures >= outcomes.length);
    assert.equal(connections, outcomes.length + 1);
  });
}
