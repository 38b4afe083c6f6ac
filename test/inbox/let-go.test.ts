/** What the inbox closes because nobody can receive it any more, and what it keeps. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_LIMITS } from '#src/inbox/limits.js';
import { inode, RecordingWaiter, reason, sequence, setUp, someError } from './fakes.js';

describe('closeIdle', () => {
  test('closes what no call claims, and neither what one does nor what was handed over', () => {
    const { table, clock, inbox, arrive, take } = setUp();
    const scope = inbox.openCall();
    arrive(['handed over', 1], ['claimed', 2], ['idle', 3], ['idle too', 4]);
    scope.claim([sequence(2, 2)]);
    inbox.take(sequence(1, 1));
    inbox.closeIdle();
    inbox.closeIdle();
    assert.deepEqual(table.openFiles, ['handed over', 'claimed']);
    assert.throws(() => take(sequence(3, 3)), reason('ERR_GRPCFD_NOT_FOUND', /not held any more/));
    assert.equal(take(inode(4)), undefined);
    arrive(['later', 5]);
    assert.equal(take(sequence(5, 5)), 'later');
    clock.advance(DEFAULT_LIMITS.holdMs);
    assert.equal(clock.timers, 0);
  });
});

describe('interests', () => {
  const upTo = (last: number) => [{ first: 1, last }];

  test('When the last one ends, what is idle is closed, and not before', () => {
    const { table, inbox, arrive } = setUp();
    const [one, other] = [inbox.addInterest(), inbox.addInterest()];
    arrive(['a', 1]);
    one.end();
    one.end();
    assert.deepEqual(table.openFiles, ['a']);
    other.end();
    assert.deepEqual(table.openFiles, []);
  });

  test('What is assigned is closed when all those have ended to whom it is', () => {
    const { table, inbox, arrive } = setUp();
    const [one, other] = [inbox.addInterest(), inbox.addInterest()];
    inbox.addInterest();
    arrive(['of one', 1], ['of both', 2], ['of nobody', 3]);
    one.assign(upTo(2));
    one.assign(upTo(2));
    other.assign([{ first: 2, last: 2 }]);
    one.end();
    assert.deepEqual(table.openFiles, ['of both', 'of nobody']);
    other.end();
    assert.deepEqual(table.openFiles, ['of nobody']);
  });

  test("What is assigned can be received by all, and what was handed over is the owner's", () => {
    const { table, inbox, arrive, take } = setUp();
    const one = inbox.addInterest();
    inbox.addInterest();
    arrive(['handed over', 1], ['kept', 2]);
    one.assign(upTo(2));
    inbox.take(sequence(1, 1));
    assert.equal(take(sequence(2, 2), undefined, true), 'kept');
    one.end();
    assert.deepEqual(table.openFiles, ['handed over']);
    one.assign(upTo(2));
  });

  test('Neither what a call claims nor what has not come is closed, and numbers without end take no time', () => {
    const { table, inbox, arrive } = setUp();
    const one = inbox.addInterest();
    inbox.addInterest();
    const scope = inbox.openCall();
    arrive(['claimed', 1], ['idle', 2], ['claimed later', 3]);
    scope.claim([sequence(1, 1)]);
    one.assign([
      { first: 1, last: 999_999_999_999_999 },
      { first: 5, last: 4 },
      { first: 0, last: 0 },
    ]);
    scope.claim([sequence(3, 3)]);
    arrive(['later', 4]);
    one.end();
    assert.deepEqual(table.openFiles, ['claimed', 'claimed later', 'later']);
    scope.end();
  });

  test('An interest that ends after the inbox has closed closes nothing again', () => {
    const { table, inbox, arrive } = setUp();
    const one = inbox.addInterest();
    arrive(['a', 1]);
    one.assign(upTo(1));
    inbox.close(someError);
    one.end();
    assert.deepEqual(table.openFiles, []);
  });
});

describe('a second descriptor of an inode', () => {
  test('replaces nothing that the peer may still name, while it is not known of which kind the peer is', () => {
    const { inbox, arrive, take } = setUp();
    arrive(['first', 1]);
    inbox.openCall().end();
    assert.equal(take(inode(1)), 'first');
    arrive(['second', 1]);
    assert.equal(inbox.stats().supersededFds, 0);
    inbox.peerKind = 'exact';
    const scope = inbox.openCall();
    scope.claim([sequence(1, 1)]);
    assert.equal(take(sequence(1, 1), scope), 'first');
  });

  test('Both ends of a pipe stay held when they arrive before the first call shows that the peer is exact', () => {
    const { inbox, arrive, take } = setUp();
    arrive(['read end', 1]);
    arrive(['write end', 1]);
    inbox.peerKind = 'exact';
    const scope = inbox.openCall();
    scope.claim([sequence(1, 1), sequence(2, 1)]);
    assert.equal(take(sequence(1, 1), scope), 'read end');
    assert.equal(take(sequence(2, 1), scope), 'write end');
  });

  test('A second descriptor of an inode replaces nothing when the peer is exact', () => {
    const { inbox, arrive, take } = setUp();
    inbox.peerKind = 'exact';
    arrive(['read end', 1]);
    inbox.openCall().end();
    arrive(['write end', 1]);
    assert.equal(take(sequence(1, 1)), 'read end');
  });
});

describe('close', () => {
  test('close() closes all held and claimed descriptors, fails all receives, and is final', () => {
    const { table, clock, inbox, arrive } = setUp();
    const scope = inbox.openCall();
    const waiters = [new RecordingWaiter(), new RecordingWaiter()];
    arrive(['a', 1], ['b', 2]);
    scope.claim([sequence(1, 1)]);
    for (const waiter of waiters) inbox.wait(inode(3), waiter, scope);
    const error = someError();
    inbox.close(() => error);
    inbox.close(someError);
    assert.deepEqual(table.openFiles, []);
    assert.equal(clock.timers, 0);
    assert.deepEqual(
      waiters.flatMap(({ errors }) => errors),
      [error, error],
    );
    assert.throws(() => inbox.take(inode(1)), error);
    assert.throws(() => inbox.take(sequence(1, 1), scope), error);
    assert.throws(() => inbox.wait(inode(1), new RecordingWaiter()), error);
    inbox.lose();
    scope.end();
    inbox.openCall().end();
    arrive(['late', 4]);
    assert.deepEqual(table.openFiles, []);
    assert.equal(clock.timers, 0);
  });
});
