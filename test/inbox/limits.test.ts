/** What the inbox closes because it is too much, or too old. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { resolveLimits } from '#src/inbox/limits.js';
import { claimed, inode, RecordingWaiter, reason, sequence, setUp } from './fakes.js';

describe('limits', () => {
  test('Above maxHeldFds, the least recently used descriptor is closed', () => {
    const { clock, inbox, arrive, take } = setUp({ maxHeldFds: 2 });
    arrive(['a', 1], ['b', 2]);
    assert.equal(take(inode(1)), 'a');
    clock.advance(1000);
    arrive(['c', 3]);
    assert.equal(take(inode(2)), undefined);
    assert.throws(() => take(sequence(2, 2)), reason('ERR_GRPCFD_NOT_FOUND', /not held any more/));
    assert.equal(take(inode(1)), 'a');
    assert.deepEqual(
      { ...inbox.stats(), pendingReceives: 0 },
      {
        heldFds: 2,
        claimedFds: 0,
        pendingReceives: 0,
        receivedFds: 3,
        evictedFds: 1,
        expiredFds: 0,
        supersededFds: 0,
      },
    );
  });

  test('Descriptors that have just arrived may exceed maxHeldFds eightfold for a second', () => {
    const { clock, inbox, arrive } = setUp({ maxHeldFds: 2 });
    arrive(...Array.from({ length: 20 }, (_, index): [string, number] => [`${index}`, index]));
    assert.equal(inbox.stats().heldFds, 16);
    const scope = inbox.openCall();
    scope.claim(Array.from({ length: 4 }, (_, index) => sequence(17 + index, 16 + index)));
    assert.equal(claimed(scope).length, 4);
    assert.equal(inbox.stats().heldFds, 16);
    clock.advance(1000);
    assert.deepEqual([inbox.stats().heldFds, inbox.stats().evictedFds], [6, 14]);
    assert.equal(clock.timers, 1);
  });

  test('At a server, descriptors that no call has claimed yet may exceed maxHeldFds for five seconds, up to a quarter of the descriptor table', () => {
    const { clock, inbox, arrive } = setUp({ maxHeldFds: 2 });
    inbox.expectClaims(() => 200);
    arrive(...Array.from({ length: 60 }, (_, index): [string, number] => [`${index}`, index]));
    assert.deepEqual([inbox.stats().heldFds, inbox.stats().evictedFds], [50, 10]);
    clock.advance(4_999);
    const scope = inbox.openCall();
    scope.claim(Array.from({ length: 4 }, (_, index) => sequence(11 + index, 10 + index)));
    assert.equal(claimed(scope).length, 4);
    assert.equal(inbox.stats().evictedFds, 10);
    clock.advance(1);
    assert.deepEqual([inbox.stats().heldFds, inbox.stats().evictedFds], [6, 54]);
  });

  test('A waiting receive gets its descriptor even if the limit closes the held one at once', () => {
    const { table, inbox, arrive } = setUp({ maxHeldFds: 1 });
    const waiter = new RecordingWaiter();
    inbox.wait(inode(1), waiter);
    arrive(['a', 1], ...Array.from({ length: 8 }, (_, index): [string, number] => [`b${index}`, 2 + index]));
    assert.deepEqual(
      waiter.fds.map((fd) => table.files.get(fd)),
      ['a'],
    );
    assert.equal(inbox.stats().heldFds, 8);
    assert.equal(table.files.size, 9);
  });

  test('A descriptor that was not used for holdMs is closed, by one timer that runs only while descriptors are held', () => {
    const { table, clock, inbox, arrive, take } = setUp({ holdMs: 1000 });
    assert.equal(clock.timers, 0);
    arrive(['a', 1], ['b', 2]);
    assert.equal(clock.timers, 1);
    clock.advance(600);
    arrive(['c', 3]);
    assert.equal(take(inode(1)), 'a');
    clock.advance(399);
    assert.deepEqual(table.openFiles, ['a', 'b', 'c']);
    clock.advance(1);
    assert.deepEqual(table.openFiles, ['a', 'c']);
    assert.equal(clock.timers, 1);
    clock.advance(600);
    assert.deepEqual(table.openFiles, []);
    assert.equal(clock.timers, 0);
    assert.equal(inbox.stats().expiredFds, 3);
  });

  test('The timer of a descriptor that was claimed serves the next descriptor, and ends', () => {
    const { table, clock, inbox, arrive } = setUp({ holdMs: 1000 });
    arrive(['claimed', 1]);
    const scope = inbox.openCall();
    scope.claim([sequence(1, 1)]);
    clock.advance(400);
    arrive(['idle', 2]);
    assert.equal(clock.timers, 1);
    clock.advance(999);
    assert.deepEqual(table.openFiles, ['claimed', 'idle']);
    clock.advance(1);
    assert.deepEqual(table.openFiles, ['claimed']);
    assert.equal(clock.timers, 0);
    arrive(['last', 3]);
    inbox.openCall().claim([sequence(3, 3)]);
    clock.advance(1000);
    assert.equal(clock.timers, 0);
    assert.deepEqual(table.openFiles, ['claimed', 'last']);
  });

  test('Infinity switches each limit off', () => {
    const { clock, inbox, arrive } = setUp({
      maxHeldFds: Number.POSITIVE_INFINITY,
      holdMs: Number.POSITIVE_INFINITY,
    });
    for (let ino = 1; ino <= 2000; ino++) arrive(['a', ino]);
    assert.equal(clock.timers, 0);
    assert.equal(inbox.stats().heldFds, 2000);
  });

  test('A holdMs above the longest delay of a timer is observed', () => {
    const { clock, inbox, arrive } = setUp({ holdMs: 2 ** 32 });
    arrive(['a', 1]);
    clock.advance(2 ** 32 - 1);
    assert.equal(inbox.stats().heldFds, 1);
    clock.advance(1);
    assert.equal(inbox.stats().heldFds, 0);
  });

  for (const value of [0, -1, 1.5, Number.NaN, Number.NEGATIVE_INFINITY, '5' as unknown as number]) {
    test(`A limit of ${String(value)} (${typeof value}) is refused`, () => {
      assert.throws(() => resolveLimits({ maxHeldFds: value }), {
        ...reason('ERR_GRPCFD_INVALID_ARGUMENT', /^maxHeldFds must be/),
        code: 3,
      });
    });
  }

  test('A limit that is omitted or undefined has its default', () => {
    assert.deepEqual(resolveLimits({ maxHeldFds: 5, holdMs: undefined }), {
      maxHeldFds: 5,
      maxFdsPerCall: 1024,
      holdMs: 150_000,
      maxPendingReceives: 1024,
    });
  });
});
