/** Who is at the other end: `FdConnection.peer`. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { withoutAuthContext } from '../support/grpc-version.js';
import { OtherUser, withoutRoot } from '../support/other-user.js';
import { dial, freshAddress, SECURITIES, serve, shutDown, testService } from '../support/service.js';
import { socketPair } from '../support/socket-pair.js';

trackDescriptors();

const NOBODY = { uid: 65534, gid: 65533, groups: [1234, 77] };

/** An address that every user can connect to. */
function openAddress(): string {
  const address = freshAddress();
  chmodSync(dirname(address.slice('unix:'.length)), 0o711);
  return address;
}

/** The process that a pidfd stands for. */
function processOf(file: grpcfd.ReceivedFile): number {
  return Number(/^Pid:\s*(-?\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${file.fd}`, 'latin1'))?.[1]);
}

/** Why a test is to be skipped: SO_PEERPIDFD came with Linux 6.5. */
function whyNoPidfd(): string | false {
  const pair = native.socketPair();
  try {
    const pidfd = native.peerPidFd(pair[0]);
    if (pidfd === undefined) return 'this kernel has no SO_PEERPIDFD';
    native.close(pidfd);
    return false;
  } finally {
    native.closeAll(pair);
  }
}

test('the peer is told with its groups, the same in onConnection, to the handler and in its auth context', {
  skip: withoutRoot,
}, async () => {
  const connections: grpcfd.FdConnection[] = [];
  const peers: unknown[] = [];
  const { address } = await serve(
    {
      unary: grpcfd.handler((call, fds) => {
        peers.push(fds.connection?.peer, call.getPeer());
        if (withoutAuthContext === false) peers.push(Reflect.get(call.getAuthContext(), 'unixPeer'));
        return {};
      }),
    },
    {
      address: openAddress(),
      options: { mode: 0o777, onConnection: (connection) => void connections.push(connection) },
    },
  );
  const client = new OtherUser(address, NOBODY);
  assert.deepEqual(await client.call(), { reply: {} });
  const { pid } = client;
  const { uid, gid } = NOBODY;
  const [connection] = connections;
  assert.equal(connection?.peer?.label, labelOfPair());
  const { label, ...peer } = connection?.peer ?? assert.fail('no peer');
  assert.deepEqual(
    { ...peer, groups: [...(peer.groups ?? [])].sort() },
    { pid, uid, gid, groups: [1234, 77] },
  );
  const inAuthContext = withoutAuthContext === false ? [connection?.peer] : [];
  assert.deepEqual(peers, [connection?.peer, `unix:pid=${pid},uid=${uid},gid=${gid}`, ...inAuthContext]);
});

function labelOfPair(): string | undefined {
  const pair = native.socketPair();
  const label = native.peerLabel(pair[0]);
  native.closeAll(pair);
  return label;
}

test('pidfd() gives a file that the caller owns, of the process that has connected', {
  skip: withoutRoot || whyNoPidfd(),
}, async () => {
  let made: grpcfd.FdConnection | undefined;
  const options: grpcfd.FdServerOptions = {
    mode: 0o777,
    onConnection: (connection) => {
      made = connection;
    },
  };
  const { address } = await serve({ unary: grpcfd.handler(() => ({})) }, { address: openAddress(), options });
  const client = new OtherUser(address, NOBODY);
  await client.call();
  const peer = made?.peer;
  assert.ok(peer);
  {
    await using pidfd = peer.pidfd();
    assert.equal(pidfd?.kind, 'pidfd');
    assert.equal(processOf(pidfd), client.pid);
  }
  await client.end();
  await made?.closed;
  assert.equal(peer.pidfd(), undefined);
});

for (const security of SECURITIES) {
  test(`${security}: a client knows the groups of its server, and a peer can be read after the end`, async () => {
    const made: grpcfd.FdConnection[] = [];
    const { address } = await serve({ unary: grpcfd.handler(() => ({})) }, { security });
    const client = await dial(address, {
      security,
      options: { onConnection: (connection) => void made.push(connection) },
    });
    await client.unary({});
    const [connection] = made;
    assert.deepEqual(connection?.peer?.groups, groupsOfThisProcess());
    client.grpc.close();
    await connection?.closed;
    const { pid, uid, gid, groups } = connection?.peer ?? assert.fail('no peer');
    const own = [process.pid, process.getuid?.(), process.getgid?.(), groupsOfThisProcess()];
    assert.deepEqual([pid, uid, gid, groups], own);
  });
}

function groupsOfThisProcess(): number[] {
  const [, groups = ''] = /^Groups:(.*)$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  return groups.trim() === '' ? [] : groups.trim().split(/\s+/).map(Number);
}

test('a peer that was first asked for after the end has its id, user and group alone', async () => {
  const made: grpcfd.FdConnection[] = [];
  const { address } = await serve({ unary: grpcfd.handler(() => ({})) });
  const client = await dial(address, {
    options: { onConnection: (connection) => void made.push(connection) },
  });
  await client.unary({});
  client.grpc.close();
  await made[0]?.closed;
  const expected = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
  assert.deepEqual(made[0]?.peer, expected);
});

test('a given peer may have groups and a label, which must be such', async () => {
  const server = new grpcfd.Server();
  server.addService(testService, { unary: grpcfd.handler(() => ({})) });
  defer(() => shutDown(server));
  const [a, b] = socketPair();
  const peer = { pid: 1, uid: 2, gid: 3, groups: [4, 5], label: 'system_u' };
  const connection = await server.serveConnection(a, grpcfd.serverCredentials(), { peer });
  assert.deepEqual(connection.peer, peer);
  assert.equal(connection.peer?.pidfd(), undefined);
  b.destroy();
  await connection.closed;
  for (const wrong of [{ groups: 4 }, { groups: [-1] }, { label: 7 }]) {
    const serving = server.serveConnection(0, grpcfd.serverCredentials(), {
      peer: { ...peer, ...wrong } as never,
    });
    await assert.rejects(serving, {
      reason: 'ERR_GRPCFD_INVALID_ARGUMENT',
      message: /peer\.(groups|label) must be/,
    });
  }
});
