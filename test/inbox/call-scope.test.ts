import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { CallScope } from '#src/inbox/call-scope.js';
import { Inbox } from '#src/inbox/inbox.js';
import { resolveLimits } from '#src/inbox/limits.js';
import type { DescriptorName } from '#src/inbox/names.js';
import { claimed, FakeClock, FakeTable, inode, RecordingWaiter, sequence } from './fakes.js';

describe('CallScope', () => {
  let table: FakeTable;
  let clock: FakeClock;
  let inbox: Inbox;

  beforeEach(() => {
    table = new FakeTable();
    clock = new FakeClock();
    inbox = new Inbox(table, resolveLimits({ maxHeldFds: 3, maxFdsPerCall: 4, holdMs: 1000 }), clock);
    inbox.peerKind = 'exact';
  });

  const arrive = (file: string, ino: number): void => inbox.arrive([table.arrival(file, ino)]);

  const take = (name: DescriptorName, scope?: CallScope): string | undefined => {
    const fd = inbox.take(name, scope);
    if (fd === undefined) return undefined;
    const file = table.files.get(fd);
    table.close(fd);
    return file;
  };

  test('A call takes its own descriptors first, then unclaimed ones, and never those of another call', () => {
    const [first, second] = [inbox.openCall(), inbox.openCall()];
    arrive('of the first', 1);
    arrive('of the second', 1);
    first.claim([sequence(1, 1)]);
    second.claim([sequence(2, 1)]);
    assert.equal(take(inode(1)), undefined);
    arrive('of none', 1);
    assert.equal(take(inode(1), first), 'of the first');
    assert.equal(take(inode(1), second), 'of the second');
    assert.equal(take(inode(1)), 'of none');
    assert.equal(take(inode(1), inbox.openCall()), 'of none');
    assert.throws(() => take(sequence(2, 1), first), {
      reason: 'ERR_GRPCFD_NOT_FOUND',
      details: /came for another call/,
    });
    assert.throws(() => take(sequence(2, 1)), {
      reason: 'ERR_GRPCFD_NOT_FOUND',
      details: /came for another call/,
    });
    assert.equal(take(sequence(3, 1), first), 'of none');
    assert.throws(() => take(sequence(3, 1), second), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
  });

  test('A take by URL gives the newest descriptor of the call', () => {
    const scope = inbox.openCall();
    arrive('read end', 1);
    arrive('write end', 1);
    scope.claim([sequence(1, 1), sequence(2, 1)]);
    assert.equal(take(inode(1), scope), 'write end');
    assert.equal(take(sequence(1, 1), scope), 'read end');
    assert.equal(take(sequence(2, 1), scope), 'write end');
  });

  test('gives to a URL what it has left of the inode, and when nothing is left, fails', () => {
    const scope = inbox.openCall();
    arrive('read end', 1);
    arrive('write end', 1);
    scope.claim([sequence(1, 1), sequence(2, 1)]);
    assert.equal(take(inode(1), scope), 'write end');
    assert.equal(take(sequence(2, 1), scope), 'write end');
    assert.equal(take(inode(1), scope), 'read end');
    assert.equal(take(sequence(1, 1), scope), 'read end');
    assert.throws(() => take(inode(1), scope), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
  });

  test('its end closes nothing that it handed over', () => {
    const scope = inbox.openCall();
    arrive('handed over', 1);
    arrive('left', 2);
    scope.claim([sequence(1, 1), sequence(2, 2)]);
    const fd = inbox.take(sequence(1, 1), scope);
    assert.equal(inbox.stats().claimedFds, 1);
    scope.end();
    assert.deepEqual([...table.files], [[fd, 'handed over']]);
  });

  test('A call lists its claimed descriptors in the order of its claims', () => {
    const scope = inbox.openCall();
    assert.deepEqual(claimed(scope), []);
    arrive('a', 1);
    arrive('b', 2);
    scope.claim([sequence(2, 2)]);
    scope.claim([sequence(1, 1), sequence(2, 2)]);
    assert.deepEqual(claimed(scope), [sequence(2, 2), sequence(1, 1)]);
    scope.end();
    assert.deepEqual(claimed(scope), []);
  });

  test('A call skips invalid entries, and fails only takes that ask for one of them', () => {
    const [other, scope] = [inbox.openCall(), inbox.openCall()];
    arrive('a', 1);
    arrive('b', 2);
    arrive('c', 3);
    other.claim([sequence(1, 1)]);
    scope.claim([sequence(1, 1), sequence(2, 99), sequence(77, 1), sequence(3, 3)]);
    assert.deepEqual(claimed(scope), [sequence(3, 3)]);
    assert.throws(() => take(sequence(1, 1), scope), { reason: 'ERR_GRPCFD_NOT_FOUND' });
    assert.throws(() => take(sequence(2, 99), scope), { reason: 'ERR_GRPCFD_REFERENCE_MISMATCH' });
    assert.throws(() => take(sequence(77, 1), scope), { reason: 'ERR_GRPCFD_NOT_FOUND' });
  });

  test('claims at most maxFdsPerCall; the rest is closed, keeps its number, and its names say why they fail', () => {
    const scope = inbox.openCall();
    for (let number = 1; number <= 6; number++) {
      arrive(`${number}`, number);
      scope.claim([sequence(number, number)]);
    }
    assert.equal(claimed(scope).length, 4);
    assert.deepEqual(table.openFiles, ['1', '2', '3', '4']);
    const tooMany = { reason: 'ERR_GRPCFD_TOO_MANY_DESCRIPTORS', details: /more than 4 .*maxFdsPerCall/ };
    for (const number of [5, 6]) {
      assert.throws(() => take(sequence(number, number), scope), tooMany);
      assert.throws(() => take(sequence(number, number)), tooMany);
    }
    arrive('7', 7);
    assert.equal(take(sequence(7, 7)), '7');
  });

  test('an entry above the limit that is not right closes nothing', () => {
    const [scope, other] = [inbox.openCall(), inbox.openCall()];
    for (let number = 1; number <= 6; number++) {
      arrive(`${number}`, number);
      if (number <= 4) scope.claim([sequence(number, number)]);
    }
    other.claim([sequence(5, 5)]);
    scope.claim([sequence(5, 5), sequence(6, 99), sequence(1, 1), sequence(77, 1)]);
    assert.equal(table.openFiles.length, 6);
    assert.equal(take(sequence(5, 5), other), '5');
    assert.equal(take(sequence(6, 6)), '6');
    assert.equal(take(sequence(1, 1), scope), '1');
  });

  test('maxHeldFds and holdMs do not close claimed descriptors', () => {
    const scope = inbox.openCall();
    arrive('claimed', 1);
    scope.claim([sequence(1, 1)]);
    for (let ino = 2; ino <= 41; ino++) arrive('held', ino);
    clock.advance(5000);
    assert.deepEqual(table.openFiles, ['claimed']);
    assert.equal(inbox.stats().claimedFds, 1);
    assert.equal(inbox.stats().evictedFds, 16);
    assert.equal(inbox.stats().expiredFds, 24);
    assert.equal(take(inode(1), scope), 'claimed');
  });

  test('The end of a call closes its claimed descriptors, and fails only its own receives', () => {
    const [scope, other] = [inbox.openCall(), inbox.openCall()];
    const [own, others, none] = [new RecordingWaiter(), new RecordingWaiter(), new RecordingWaiter()];
    arrive('a', 1);
    arrive('b', 2);
    scope.claim([sequence(1, 1)]);
    inbox.wait(inode(3), own, scope);
    inbox.wait(inode(3), others, other);
    inbox.wait(inode(3), none);
    assert.equal(scope.ended, false);
    scope.end();
    scope.end();
    assert.equal(scope.ended, true);
    assert.deepEqual(table.openFiles, ['b']);
    assert.equal(own.reason, 'ERR_GRPCFD_CALL_ENDED');
    assert.equal(own.settlements, 1);
    arrive('c', 3);
    assert.equal(others.fds.length, 1);
    assert.equal(none.fds.length, 1);
    assert.throws(() => take(sequence(1, 1)), {
      reason: 'ERR_GRPCFD_NOT_FOUND',
      details: /not held any more/,
    });
  });

  test('A call that has ended takes, waits for and claims nothing', () => {
    const scope = inbox.openCall();
    arrive('a', 1);
    scope.end();
    scope.claim([sequence(1, 1)]);
    assert.equal(inbox.stats().claimedFds, 0);
    assert.throws(() => inbox.take(inode(1), scope), { reason: 'ERR_GRPCFD_CALL_ENDED', code: 1 });
    assert.throws(() => inbox.wait(inode(1), new RecordingWaiter(), scope), {
      reason: 'ERR_GRPCFD_CALL_ENDED',
    });
  });

  test('The callback of a receive may end its own call', () => {
    const scope = inbox.openCall();
    const second = new RecordingWaiter();
    inbox.wait(inode(1), new RecordingWaiter(() => scope.end()), scope);
    inbox.wait(inode(1), second, scope);
    inbox.wait(inode(2), second, scope);
    arrive('a', 1);
    assert.equal(second.fds.length, 1, 'its descriptor was on the way already');
    assert.equal(second.reason, 'ERR_GRPCFD_CALL_ENDED');
  });
});
