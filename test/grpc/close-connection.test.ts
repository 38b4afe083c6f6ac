/** `FdConnection.close()`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import * as grpcfd from 'grpcfd';
import { assertBothWays, bothWays } from '../support/both-ways.js';
import { warnings } from '../support/events.js';
import { assertFails, failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { dial, SECURITIES, serve, shutDown, testService, withResolvers } from '../support/service.js';
import { socketPair } from '../support/socket-pair.js';

trackDescriptors();

for (const security of SECURITIES) {
  test(`${security}: a server ends one connection, and the client goes on with another one`, async () => {
    const begun = withResolvers<grpcfd.FdServerCall>();
    const { address } = await serve(
      {
        ...bothWays,
        bidi: grpcfd.handler((_call, fds) => {
          begun.resolve(fds);
          return new Promise(() => {});
        }),
      },
      { security },
    );
    const client = await dial(address, { security });
    const call = client.bidi();
    const ended = new Promise<grpc.StatusObject>((resolve) => call.once('status', resolve));
    call.on('error', () => {});
    call.resume();
    const connection = (await begun.promise).connection ?? assert.fail('no connection');
    const waiting = connection.recvFd('inode://1/2');
    const reason = new Error('enough');
    connection.close(reason);
    connection.close();
    const error = await assertFails(waiting, 'ERR_GRPCFD_CONNECTION_CLOSED', 'UNAVAILABLE');
    assert.deepEqual([error.details, error.cause], ['the connection was closed: enough', reason]);
    await connection.closed;
    assert.equal((await ended).code, grpc.status.UNAVAILABLE);
    await assertBothWays(client);
    client.grpc.close();
  });

  test(`${security}: calls of a client whose user closes the connection tell the reason`, async () => {
    const { address } = await serve({ ...bothWays, unary: () => {} }, { security });
    const made = withResolvers<grpcfd.FdConnection>();
    const client = await dial(address, { security, options: { onConnection: made.resolve } });
    const call = failure(client.unary({}));
    const connection = await made.promise;
    // A call that has begun, or the handshake.
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    connection.close(new Error('I have had enough'));
    const { code, details } = (await call) as grpc.ServiceError;
    assert.equal(code, grpc.status.UNAVAILABLE);
    assert.match(details, /I have had enough/);
    await connection.closed;
    client.grpc.close();
  });

  test(`${security}: close() in onConnection refuses the connection at either end, without a warning`, async () => {
    const all = warnings();
    const closing = {
      onConnection: (connection: grpcfd.FdConnection) => connection.close(new Error('not you')),
    };
    const { address } = await serve(bothWays, { security, options: closing });
    const client = await dial(address, { security });
    assert.equal(((await failure(client.unary({}))) as grpc.ServiceError).code, grpc.status.UNAVAILABLE);
    client.grpc.close();

    const other = await serve(bothWays, { security });
    const refusing = await dial(other.address, { security, options: closing });
    const { details } = (await failure(refusing.unary({}))) as grpc.ServiceError;
    assert.match(details, /the connection was closed: not you/);
    refusing.grpc.close();
    assert.deepEqual(all, []);
  });
}

test('serveConnection() rejects with what close() was given in onConnection', async () => {
  const server = new grpcfd.Server();
  server.addService(testService, { ...bothWays });
  defer(() => shutDown(server));
  const reason = new Error('not you');
  const credentials = grpcfd.serverCredentials(undefined, {
    onConnection: (connection) => connection.close(reason),
  });
  const [a] = socketPair();
  assert.equal(await failure(server.serveConnection(a, credentials)), reason);
});
