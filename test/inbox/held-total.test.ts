/** What all connections of one credentials object hold together. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HeldAccount, HeldTotal, heldFds } from '#src/inbox/held-total.js';
import { Inbox } from '#src/inbox/inbox.js';
import type { CloseReason } from '#src/inbox/inbox-watcher.js';
import { resolveLimits } from '#src/inbox/limits.js';
import { claimed, FakeClock, FakeTable, inode, reason, sequence, someError } from './fakes.js';

/** Connections that share a limit. `arrive` gives one so many descriptors. */
function shared(limit: number | undefined, tableSize = 1024) {
  const table = new FakeTable();
  const clock = new FakeClock();
  const total = new HeldTotal(limit, () => tableSize);
  const connect = (account?: HeldAccount) => {
    const inbox = new Inbox(table, resolveLimits(), clock);
    const closed: [number, CloseReason][] = [];
    inbox.watch({
      fdsTaken() {},
      fdsClosed: (count, why) => void closed.push([count, why]),
      receiveRefused() {},
    });
    inbox.countTo(total, account);
    let last = 0;
    const arrive = (count: number) =>
      inbox.arrive(Array.from({ length: count }, () => table.arrival(`${last}`, last++)));
    return { inbox, closed, arrive, held: () => inbox.stats().heldFds };
  };
  return { table, clock, total, connect };
}

describe('maxHeldFdsTotal', () => {
  test('the connection that holds the most loses its least recently used descriptors', () => {
    const { total, connect } = shared(10);
    const [flood, other] = [connect(), connect()];
    other.arrive(3);
    flood.arrive(7);
    assert.deepEqual([flood.held(), other.held(), total.held], [7, 3, 10]);
    other.arrive(2);
    assert.deepEqual([flood.held(), other.held(), total.held], [5, 5, 10]);
    flood.arrive(100);
    assert.deepEqual([flood.held(), other.held(), total.held], [5, 5, 10]);
    assert.deepEqual(flood.closed, [
      [2, 'maxHeldFdsTotal'],
      [100, 'maxHeldFdsTotal'],
    ]);
    assert.deepEqual(other.closed, []);
    // The newest are there.
    assert.notEqual(flood.inbox.take(sequence(107, 106)), undefined);
    assert.throws(
      () => flood.inbox.take(sequence(1, 0)),
      reason('ERR_GRPCFD_TOO_MANY_DESCRIPTORS', /maxHeldFdsTotal/),
    );
  });

  test('of two that hold as much, the one that gets more loses', () => {
    const { connect } = shared(4);
    const [a, b] = [connect(), connect()];
    a.arrive(2);
    b.arrive(2);
    a.arrive(1);
    assert.deepEqual([a.held(), b.held()], [2, 2]);
    b.arrive(1);
    assert.deepEqual([a.held(), b.held(), a.closed.length, b.closed.length], [2, 2, 1, 1]);
  });

  test('what running calls have claimed is closed when nothing idle is left, and a receive of it says so', () => {
    const { table, connect } = shared(6);
    const [flood, other] = [connect(), connect()];
    flood.arrive(6);
    const scope = flood.inbox.openCall();
    scope.claim(Array.from({ length: 6 }, (_, index) => sequence(1 + index, index)));
    other.arrive(2);
    assert.deepEqual([flood.held(), other.held()], [4, 2]);
    assert.throws(
      () => flood.inbox.take(sequence(1, 0), scope),
      reason('ERR_GRPCFD_TOO_MANY_DESCRIPTORS', /maxHeldFdsTotal/),
    );
    assert.equal(flood.inbox.take(inode(0), scope), undefined);
    assert.equal(claimed(scope).length, 6);
    const fd = flood.inbox.take(sequence(6, 5), scope) ?? -1;
    table.close(fd);
    scope.end();
    assert.deepEqual([flood.held(), table.openFiles.length], [0, 2]);
  });

  test('an account of several connections loses as one, from the one that holds the most', () => {
    const { connect, total } = shared(12);
    const account = new HeldAccount();
    total.add(account);
    const [first, second] = [connect(account), connect(account)];
    const other = connect();
    first.arrive(2);
    second.arrive(4);
    other.arrive(5);
    // Neither of the two has as much as the other account, but both together have.
    second.arrive(3);
    assert.deepEqual([first.held(), second.held(), other.held()], [2, 5, 5]);
    other.arrive(3);
    assert.deepEqual([first.held() + second.held(), other.held()], [6, 6]);
    assert.deepEqual(first.closed, []);
  });

  test('the default is three eighths of the table, and at least 256', () => {
    for (const [tableSize, limit] of [
      [1024, 384],
      [100, 256],
    ] as const) {
      const { connect, total } = shared(undefined, tableSize);
      const connection = connect();
      connection.arrive(600);
      assert.deepEqual([connection.held(), total.limit], [limit, limit]);
    }
  });

  test('Infinity switches it off', () => {
    const { connect } = shared(Number.POSITIVE_INFINITY);
    const connection = connect();
    connection.arrive(1500);
    assert.equal(connection.held(), 1500);
  });

  test('everything that leaves is counted off', () => {
    const before = heldFds();
    const { table, clock, connect, total } = shared(100);
    const a = connect();
    a.arrive(8);
    assert.deepEqual([total.held, heldFds() - before], [8, 8]);
    table.close(a.inbox.take(sequence(1, 0)) ?? -1);
    assert.equal(total.held, 7);
    const scope = a.inbox.openCall();
    scope.claim([sequence(2, 1), sequence(3, 2)]);
    scope.end();
    assert.equal(total.held, 5);
    a.inbox.peerKind = 'inode';
    a.inbox.arrive([table.arrival('again', 4)]);
    assert.equal(total.held, 5);
    clock.advance(150_000);
    assert.equal(total.held, 0);
    a.arrive(3);
    a.inbox.close(someError());
    assert.deepEqual([total.held, heldFds() - before], [0, 0]);
    assert.deepEqual(table.openFiles, []);
  });
});
