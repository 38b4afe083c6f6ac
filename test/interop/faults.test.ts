/** Faults of the Go package that must not harm this package. */
import assert from 'node:assert/strict';
import { closeSync, constants, readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as grpcfd from 'grpcfd';
import { native } from '#src/native/binding.js';
import type { File } from '../../interop/node/protocol.js';
import type { Security } from '../../interop/node/security.js';
import { descriptorTable, trackDescriptors } from '../support/fd-table.js';
import { fileWith } from '../support/temporary.js';
import { goClient, goServer, NodeClient, serveUnary, useWorkplace, withoutGo } from './peers.js';
import { sum, Tap } from './tap.js';

trackDescriptors();
useWorkplace();

const SECURITIES: readonly Security[] = ['plaintext', 'tls', 'mtls'];
const RECEIVE_MS = 20_000;
/** The Go package has room for this many descriptors in a message, and drops the others without an error. */
const GO_ROOM = 64;

/** Sends new unlinked files, each with its number as content. */
function sendFiles(fds: grpcfd.FdTransceiver, count: number): File[] {
  return Array.from({ length: count }, (_, i) => {
    const fd = fileWith(`file ${i}`);
    try {
      return { url: fds.sendFd(fd).url, kind: 'UNLINKED', evidence: `file ${i}` };
    } finally {
      closeSync(fd);
    }
  });
}

for (const security of SECURITIES) {
  for (const count of [64, 65, 200]) {
    const name = `${security}: ${count} descriptors travel to Go in messages of at most ${GO_ROOM}`;

    test(`${name}, from a client`, { skip: withoutGo }, async () => {
      const tap = await Tap.open((await goServer()).target(security));
      const client = new NodeClient(tap.target, security);
      using fds = grpcfd.callCredentials();
      const { outcome } = await client.unary({ files: sendFiles(fds, count), receiveMs: RECEIVE_MS }, fds);
      assert.deepEqual(outcome, { received: count, failures: [] });
      assertMessages(tap.fromClient, count);
    });

    test(`${name}, from a server`, { skip: withoutGo }, async () => {
      const { target } = await serveUnary(security, (_call, fds) => ({ files: sendFiles(fds, count) }));
      const tap = await Tap.open(target);
      const row = { security, rpc: 'unary', direction: 's2c', kind: 'UNLINKED', fds: count } as const;
      const result = await goClient()({ ...row, target: tap.target, receiveMs: RECEIVE_MS });
      assert.equal(result.reason, undefined);
      assertMessages(tap.fromServer, count);
    });
  }
}

function assertMessages(counts: readonly number[], total: number): void {
  assert.equal(sum(counts), total);
  assert.ok(Math.max(...counts) <= GO_ROOM, `messages with ${counts} descriptors`);
  assert.equal(counts.length, Math.ceil(total / GO_ROOM), 'no more messages than it takes');
}

for (const security of SECURITIES) {
  test(`${security}: all descriptors arrive that Go sends with one byte each`, {
    skip: withoutGo,
  }, async () => {
    const count = 60;
    const { target, connections } = await serveUnary(security, async ({ request }, fds) => {
      const files = request.files ?? [];
      for (const { url, evidence } of files) {
        await using file = await fds.recvFile(url);
        assert.equal(await file.readFile('utf8'), evidence);
      }
      return { outcome: { received: files.length, failures: [] } };
    });
    const tap = await Tap.open(target);
    const row = { security, rpc: 'unary', direction: 'c2s', kind: 'UNLINKED', fds: count } as const;
    const result = await goClient()({ ...row, target: tap.target, warm: true, receiveMs: RECEIVE_MS });
    assert.equal(result.reason, undefined);
    assert.deepEqual(tap.fromClient, Array(count).fill(1));
    assert.equal(connections[0]?.stats().receivedFds, count);
  });
}

const CALLS = 1000;
/** Descriptors that may be open beside the newest one: four of the connection, and some that arrived with it or are being received. */
const FEW = 10;

/** Without those that wait for a thread which closes them. */
function openDescriptors(): number {
  const waiting = native.pendingCloses();
  return descriptorTable().size - waiting;
}

for (const receives of [true, false]) {
  const how = receives ? 'receives it' : 'ignores it';
  test(`Descriptors do not pile up when a Go client sends one file with ${CALLS} calls to a server that ${how}`, {
    skip: withoutGo,
  }, async () => {
    let most = 0;
    const { target, connections } = await serveUnary('plaintext', async ({ request }, fds) => {
      const { url = '' } = request.files?.[0] ?? {};
      if (receives) closeSync(await fds.recvFd(url));
      most = Math.max(most, openDescriptors());
      return { outcome: { received: 1, failures: [] } };
    });
    const before = openDescriptors();
    const row = { target, security: 'plaintext', rpc: 'unary', direction: 'c2s', kind: 'UNLINKED' } as const;
    const result = await goClient()({ ...row, fds: 1, times: CALLS, receiveMs: RECEIVE_MS });
    assert.equal(result.reason, undefined);
    assert.equal(connections[0]?.stats().receivedFds, CALLS);
    assert.ok(most - before <= FEW, `${most - before} descriptors more than before`);
  });

  test(`Descriptors do not pile up when a Go server sends one file with ${CALLS} replies to a client that ${how}`, {
    skip: withoutGo,
  }, async () => {
    const client = new NodeClient((await goServer()).target('plaintext'), 'plaintext');
    let most = 0;
    const before = openDescriptors();
    const order = { kind: 'NETNS', count: 1 } as const;
    for (let call = 0; call < CALLS; call++) {
      using fds = grpcfd.callCredentials();
      const { files } = await client.unary({ order, receiveMs: RECEIVE_MS }, fds);
      if (receives) closeSync(await fds.recvFd(files?.[0]?.url ?? ''));
      most = Math.max(most, openDescriptors());
    }
    assert.equal(client.connections.length, 1);
    assert.equal(client.connections[0]?.stats().receivedFds, CALLS);
    assert.ok(most - before <= FEW, `${most - before} descriptors more than before`);
  });
}

function accessMode(fd: number): number {
  const [, flags = ''] = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
  return Number.parseInt(flags, 8) & (constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR);
}

test('The URL of a file that Go sends twice, first for reading and then for writing, gives the newest descriptor', {
  skip: withoutGo,
}, async () => {
  const modes: number[] = [];
  const { target, connections } = await serveUnary('plaintext', async ({ request }, fds) => {
    await using file = await fds.recvFile(request.files?.[0]?.url ?? '');
    modes.push(accessMode(file.fd));
    return { outcome: { received: 1, failures: [] } };
  });
  const row = { target, security: 'plaintext', rpc: 'unary', direction: 'c2s', kind: 'UNLINKED' } as const;
  const result = await goClient()({ ...row, op: 'modes', receiveMs: RECEIVE_MS });
  assert.equal(result.reason, undefined);
  assert.deepEqual(modes, [constants.O_RDONLY, constants.O_RDWR]);
  assert.equal(connections.length, 1);
});
