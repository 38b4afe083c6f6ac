/** Receives that wait, and descriptors that the kernel dropped. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { claimed, inode, RecordingWaiter, reason, sequence, setUp, someError } from './fakes.js';

describe('waits', () => {
  test('One descriptor settles every receive that waits for its inode, each with its own duplicate', () => {
    const { table, inbox, arrive } = setUp();
    const scope = inbox.openCall();
    const waiters = [new RecordingWaiter(), new RecordingWaiter(), new RecordingWaiter()];
    const other = new RecordingWaiter();
    waiters.forEach((waiter, index) => {
      inbox.wait(inode(1), waiter, index === 1 ? scope : undefined);
    });
    inbox.wait(inode(2), other);
    assert.equal(inbox.stats().pendingReceives, 4);
    arrive(['a', 1]);
    const fds = waiters.flatMap(({ fds }) => fds);
    assert.equal(new Set(fds).size, 3);
    assert.deepEqual(
      fds.map((fd) => table.files.get(fd)),
      ['a', 'a', 'a'],
    );
    assert.equal(other.settlements, 0);
    assert.equal(inbox.stats().pendingReceives, 1);
    arrive(['again', 1]);
    assert.ok(waiters.every(({ settlements }) => settlements === 1));
  });

  test('A duplicate that fails rejects only the receive that it was for', () => {
    const { table, inbox, arrive, take } = setUp();
    const [first, second] = [new RecordingWaiter(), new RecordingWaiter()];
    inbox.wait(inode(1), first);
    inbox.wait(inode(1), second);
    table.failures = 1;
    arrive(['a', 1]);
    assert.equal(first.reason, 'ERR_GRPCFD_RECEIVE_FAILED');
    assert.equal(second.fds.length, 1);
    assert.equal(take(inode(1)), 'a');
  });

  test('A receive that was withdrawn is not called, and leaves room for another one', () => {
    const { inbox, arrive } = setUp({ maxPendingReceives: 1 });
    const waiter = new RecordingWaiter();
    const withdraw = inbox.wait(inode(1), waiter);
    assert.throws(
      () => inbox.wait(inode(2), waiter),
      reason('ERR_GRPCFD_TOO_MANY_RECEIVES', /1 receives wait/),
    );
    withdraw();
    withdraw();
    assert.equal(inbox.stats().pendingReceives, 0);
    inbox.wait(inode(2), new RecordingWaiter());
    arrive(['a', 1]);
    inbox.close(someError);
    assert.equal(waiter.settlements, 0);
  });

  test('A receive that is withdrawn during the delivery gets no descriptor, and none leaks', () => {
    const { table, inbox, arrive } = setUp();
    const second = new RecordingWaiter();
    let withdrawSecond = (): void => {};
    inbox.wait(inode(1), new RecordingWaiter(() => withdrawSecond()));
    withdrawSecond = inbox.wait(inode(1), second);
    arrive(['a', 1]);
    assert.equal(second.settlements, 0);
    assert.deepEqual(table.openFiles, ['a', 'a']);
  });

  test('A receive that is withdrawn while others fail is not called', () => {
    const { inbox } = setUp();
    const second = new RecordingWaiter();
    let withdrawSecond = (): void => {};
    inbox.wait(inode(1), new RecordingWaiter(() => withdrawSecond()));
    withdrawSecond = inbox.wait(inode(1), second);
    inbox.close(someError);
    assert.equal(second.settlements, 0);
  });

  test('The callback of a receive may close the inbox, take and wait again', () => {
    const { table, inbox, arrive, take } = setUp();
    const error = someError();
    const again = new RecordingWaiter();
    const later = new RecordingWaiter();
    const order: (string | undefined)[] = [];
    inbox.wait(
      inode(1),
      new RecordingWaiter(() => {
        order.push(take(inode(2)));
        inbox.wait(inode(1), again);
        inbox.close(() => error);
      }),
    );
    inbox.wait(inode(2), later);
    arrive(['a', 1], ['b', 2]);
    assert.deepEqual(order, ['b']);
    assert.deepEqual(again.errors, [error]);
    assert.deepEqual(
      later.fds.map((fd) => table.files.get(fd)),
      ['b'],
    );
    assert.equal(table.files.size, 2, 'only what the two waiters own is open');
  });
});

describe('lost descriptors', () => {
  test('Lost descriptors fail all receives that wait or will wait', () => {
    const { inbox } = setUp();
    const waiter = new RecordingWaiter();
    inbox.wait(inode(1), waiter);
    inbox.lose();
    assert.equal(waiter.reason, 'ERR_GRPCFD_DESCRIPTORS_LOST');
    assert.throws(() => inbox.wait(inode(1), waiter), reason('ERR_GRPCFD_DESCRIPTORS_LOST', /MSG_CTRUNC/));
    assert.equal(waiter.settlements, 1);
  });

  test('Lost descriptors invalidate later sequence numbers for good, and neither earlier ones nor inodes', () => {
    const { inbox, arrive, take } = setUp();
    arrive(['a', 1]);
    inbox.lose();
    arrive(['b', 2]);
    inbox.lose();
    assert.equal(take(sequence(1, 1), undefined, true), 'a');
    assert.throws(() => take(sequence(2, 2)), reason('ERR_GRPCFD_DESCRIPTORS_LOST'));
    assert.equal(take(inode(2)), 'b');
    const scope = inbox.openCall();
    scope.claim([sequence(1, 1), sequence(2, 2)]);
    assert.deepEqual(claimed(scope), [sequence(1, 1)]);
    assert.equal(take(sequence(1, 1), scope), 'a');
    assert.throws(() => take(sequence(1, 1), scope), reason('ERR_GRPCFD_ALREADY_RECEIVED'));
    assert.equal(take(inode(2), scope), 'b');
  });
});
