/** What all connections of one credentials object hold together. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CallScope } from '#src/inbox/call-scope.js';
import { HeldAccount, HeldTotal, heldFds, makeRoom } from '#src/inbox/held-total.js';
import { Inbox } from '#src/inbox/inbox.js';
import type { CloseReason } from '#src/inbox/inbox-watcher.js';
import { resolveLimits } from '#src/inbox/limits.js';
import {
  claimed,
  FakeClock,
  FakeTable,
  inode,
  RecordingWaiter,
  reason,
  sequence,
  someError,
} from './fakes.js';

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
    a.inbox.close(someError);
    assert.deepEqual([total.held, heldFds() - before], [0, 0]);
    assert.deepEqual(table.openFiles, []);
  });
});

describe('room in the table', () => {
  test('what ended calls have received by inode is closed, the least recently used first, and nothing else', () => {
    const { table, connect } = shared(Number.POSITIVE_INFINITY);
    const { inbox, arrive, closed, held } = connect();
    const receive = (ino: number, scope?: CallScope) =>
      table.close(inbox.take(inode(ino), scope) ?? assert.fail());
    arrive(6);
    const [running, ended] = [inbox.openCall(), inbox.openCall()];
    receive(1, ended);
    receive(2, running);
    receive(2, ended);
    receive(3, ended);
    receive(3, ended);
    receive(1, ended);
    assert.equal(makeRoom(10), 0);
    ended.end();
    // Outside of a call, it was needed for the receive alone.
    receive(4);
    assert.equal(makeRoom(1), 1);
    assert.deepEqual(table.openFiles, ['0', '2', '3', '4', '5']);
    // A new call receives one of them again, and needs it until it ends.
    const next = inbox.openCall();
    receive(3, next);
    assert.equal(makeRoom(10), 1);
    assert.deepEqual(table.openFiles, ['0', '2', '3', '5']);
    next.end();
    running.end();
    assert.equal(makeRoom(10), 2);
    assert.deepEqual(
      [held(), closed],
      [
        2,
        [
          [1, 'table full'],
          [1, 'table full'],
          [2, 'table full'],
        ],
      ],
    );
    assert.equal(makeRoom(10), 0);
    inbox.close(someError);
  });

  test('what a wait has received counts as received by its call', () => {
    const { table, connect } = shared(undefined);
    const { inbox, arrive } = connect();
    const scope = inbox.openCall();
    const waiter = new RecordingWaiter();
    inbox.wait(inode(0), waiter, scope);
    arrive(1);
    table.close(waiter.fds[0] ?? -1);
    assert.equal(makeRoom(1), 0);
    scope.end();
    assert.equal(makeRoom(1), 1);
    assert.deepEqual(table.openFiles, []);
    inbox.close(someError);
  });

  test('a duplicate for a receiver is made of a descriptor that is not closed for it', () => {
    const { table, connect } = shared(undefined);
    const { inbox, arrive, held } = connect();
    arrive(2);
    for (const ino of [0, 1]) table.close(inbox.take(inode(ino)) ?? assert.fail());
    const { duplicate } = table;
    table.duplicate = (fd) => {
      assert.equal(makeRoom(10), 1);
      return duplicate.call(table, fd);
    };
    table.close(inbox.take(inode(0)) ?? assert.fail());
    assert.deepEqual([held(), table.openFiles], [1, ['0']]);
    inbox.close(someError);
  });

  test('the account that has the most of them loses, over all credentials', () => {
    const { table, connect, total } = shared(undefined);
    const account = new HeldAccount();
    total.add(account);
    const other = shared(undefined);
    const members = [connect(account), connect(account)] as const;
    const alone = connect();
    const far = other.connect();
    const fill = ({ inbox, arrive }: typeof alone, count: number, files = table) => {
      arrive(count);
      for (let ino = 0; ino < count; ino++) files.close(inbox.take(inode(ino)) ?? assert.fail());
    };
    fill(members[0], 3);
    fill(members[1], 3);
    fill(alone, 4);
    fill(far, 5, other.table);
    const counts = () => [...members, alone, far].map((each) => each.held());
    assert.equal(makeRoom(1), 1);
    assert.deepEqual(counts(), [2, 3, 4, 5]);
    assert.equal(makeRoom(6), 6);
    const [first = 0, second = 0, ...rest] = counts();
    assert.deepEqual([first + second, ...rest].sort(), [2, 3, 3]);
    for (const each of [...members, alone, far]) each.inbox.close(someError);
    total.remove(account);
    assert.equal(makeRoom(1), 0);
  });

  test('at maxHeldFdsTotal, too, they go before what may be needed', () => {
    const { table, connect } = shared(3);
    const { inbox, arrive } = connect();
    arrive(3);
    table.close(inbox.take(inode(1)) ?? assert.fail());
    arrive(1);
    assert.deepEqual(table.openFiles, ['0', '2', '3']);
    inbox.close(someError);
  });

  test('what an exact peer sent is not among them: nobody sends it again', () => {
    const { table, connect } = shared(undefined);
    const { inbox, arrive } = connect();
    inbox.peerKind = 'exact';
    arrive(1);
    table.close(inbox.take(inode(0)) ?? assert.fail());
    table.close(inbox.take(sequence(1, 0), undefined, true));
    assert.equal(makeRoom(1), 0);
    inbox.close(someError);
  });
});
