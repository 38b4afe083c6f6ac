import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { join } from 'node:path';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { bind, dial, freshAddress, shutDown, testService } from '../support/service.js';
import { temporaryDirectory } from '../support/temporary.js';

trackDescriptors();

/** The server end of a new HTTP/2 connection. */
async function newSession(): Promise<http2.ServerHttp2Session> {
  const server = http2.createServer();
  const path = join(temporaryDirectory(), 'http2.sock');
  await once(server.listen(path), 'listening');
  defer(() => server.close());
  const client = http2.connect('http://localhost', { path } as http2.ClientSessionOptions);
  client.on('error', () => {});
  const [session] = await once(server, 'session');
  return session;
}

test('Node drops the callback of close() on a session that has been destroyed and has not closed yet', async () => {
  const session = await newSession();
  let told = false;
  session.destroy();
  assert.deepEqual([session.destroyed, session.closed], [true, false]);
  session.close(() => {
    told = true;
  });
  await once(session, 'close');
  assert.equal(told, false);
});

test('A shutdown ends when it begins between the destruction and the close of a connection', async () => {
  const server = new grpcfd.Server();
  server.addService({ unary: testService.unary }, { unary: grpcfd.handler(() => ({})) });
  const address = freshAddress();
  const connections: grpcfd.FdConnection[] = [];
  const onConnection = (connection: grpcfd.FdConnection) => void connections.push(connection);
  await bind(server, address, grpcfd.serverCredentials(undefined, { onConnection }));
  const client = await dial(address);
  await client.unary({});
  const sessions = Reflect.get(server, 'sessions') as Map<http2.ServerHttp2Session, unknown>;
  for (const session of sessions.keys()) session.destroy();
  await shutDown(server);
  await connections[0]?.closed;
});
