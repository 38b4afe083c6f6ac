import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Inbox } from '#src/inbox/inbox.js';
import { DEFAULT_LIMITS, type InboxLimits, resolveLimits } from '#src/inbox/limits.js';
import type { DescriptorName } from '#src/inbox/names.js';
import { claimed, FakeClock, FakeTable, inode, RecordingWaiter, sequence, someError } from './fakes.js';

function setUp(limits: Partial<InboxLimits> = {}) {
  const table = new FakeTable();
  const clock = new FakeClock();
  const inbox = new Inbox(table, resolveLimits(limits), clock);
  const arrive = (...files: [file: string, ino: number][]): void => {
    inbox.arrive(files.map(([file, ino]) => table.arrival(file, ino)));
  };
  const take = (...args: Parameters<Inbox['take']>): string | undefined => {
    const fd = inbox.take(...args);
    if (fd === undefined) return undefined;
    const file = table.files.get(fd);
    table.close(fd);
    return file;
  };
  return { table, clock, inbox, arrive, take };
}

const reason = (expected: string, details = /./) => ({ name: 'GrpcFdError', reason: expected, details });

describe('take by inode', () => {
  test('Each take by inode gives a duplicate, and the held descriptor stays', () => {
    const { table, inbox, arrive } = setUp();
    arrive(['a', 1]);
    const first = inbox.take(inode(1));
    const second = inbox.take(inode(1));
    assert.notEqual(first, second);
    assert.deepEqual(table.openFiles, ['a', 'a', 'a']);
    assert.equal(inbox.stats().heldFds, 1);
  });

  test('A take by inode gives undefined for an inode that has not arrived', () => {
    const { arrive, take } = setUp();
    arrive(['a', 1]);
    assert.equal(take(inode(2)), undefined);
    assert.equal(take({ kind: 'inode', inode: '8/1' }), undefined);
  });

  test('A take by inode gives the newest descriptor of the inode', () => {
    const { inbox, arrive, take } = setUp();
    inbox.peerKind = 'exact';
    arrive(['old', 1], ['other', 2]);
    arrive(['new', 1]);
    assert.equal(take(inode(1)), 'new');
    assert.equal(take(sequence(1, 1)), 'old');
  });

  test('A take by inode tells 64-bit inodes apart that are equal as doubles', () => {
    const { table, inbox } = setUp();
    const [one, next] = [`1/${2n ** 53n}`, `1/${2n ** 53n + 1n}`];
    inbox.arrive([
      { fd: table.open('a'), inode: one },
      { fd: table.open('b'), inode: next },
    ]);
    const fd = inbox.take({ kind: 'inode', inode: one });
    assert.equal(table.files.get(fd ?? 0), 'a');
  });

  test('A take whose duplicate fails throws with the cause, and the held descriptor stays', () => {
    const { table, inbox, arrive, take } = setUp();
    arrive(['a', 1]);
    table.failures = 1;
    assert.throws(() => inbox.take(inode(1)), {
      ...reason('ERR_GRPCFD_RECEIVE_FAILED', /EMFILE/),
      code: 8,
    });
    assert.equal(take(inode(1)), 'a');
  });
});

describe('take by sequence number', () => {
  test('Sequence numbers count from 1 in the order of arrival, over all messages', () => {
    const { take, arrive, inbox } = setUp();
    inbox.peerKind = 'exact';
    arrive(['a', 1], ['b', 1]);
    arrive(['c', 1]);
    assert.deepEqual(
      [1, 2, 3].map((number) => take(sequence(number, 1))),
      ['a', 'b', 'c'],
    );
  });

  test('A take by sequence number works without an inode', () => {
    const { take, arrive } = setUp();
    arrive(['a', 1]);
    assert.equal(take({ kind: 'sequence', sequence: 1 }), 'a');
  });

  const refused: [name: string, DescriptorName, reason: string, details: RegExp][] = [
    ['did not arrive', sequence(3, 1), 'ERR_GRPCFD_NOT_FOUND', /did not arrive: only 2 came/],
    ['is 0', sequence(0, 1), 'ERR_GRPCFD_NOT_FOUND', /was not sent/],
    ['is not an integer', sequence(1.5, 1), 'ERR_GRPCFD_NOT_FOUND', /./],
    [
      'names another inode',
      sequence(1, 2),
      'ERR_GRPCFD_REFERENCE_MISMATCH',
      /inode:\/\/7\/2.*inode:\/\/7\/1/,
    ],
    [
      'names another device',
      { kind: 'sequence', sequence: 1, inode: '8/1' },
      'ERR_GRPCFD_REFERENCE_MISMATCH',
      /inode:\/\/8\/1.*inode:\/\/7\/1/,
    ],
  ];
  for (const [name, ref, expected, details] of refused) {
    test(`A take by sequence number fails at once for a number that ${name}`, () => {
      const { inbox, arrive } = setUp();
      arrive(['a', 1], ['b', 2]);
      assert.throws(() => inbox.take(ref), reason(expected, details));
    });
  }
});

describe('take by sequence number hands over', () => {
  test('the very descriptor that came, once', () => {
    const { table, inbox, arrive } = setUp();
    arrive(['a', 1]);
    const [came] = table.files.keys();
    assert.equal(inbox.take(sequence(1, 1)), came);
    assert.deepEqual(table.openFiles, ['a']);
    assert.equal(inbox.stats().heldFds, 0);
    for (const keep of [false, true]) {
      assert.throws(
        () => inbox.take(sequence(1, 1), undefined, keep),
        reason('ERR_GRPCFD_ALREADY_RECEIVED', /descriptor 1 .*has been received.*keep: true/),
      );
    }
    assert.throws(() => inbox.check(sequence(1, 1)), reason('ERR_GRPCFD_ALREADY_RECEIVED'));
    assert.equal(inbox.hasHandedOver(1), true);
    assert.equal(inbox.hasHandedOver(2), false);
  });

  test('and knows what it still holds between more numbers than it remembers', () => {
    const { inbox, arrive, take } = setUp({ maxHeldFds: Number.POSITIVE_INFINITY });
    const last = 10_000;
    for (let number = 1; number <= last; number++) {
      arrive([`${number}`, number]);
      if (number % 2 === 0) take(sequence(number, number));
    }
    for (let number = 1; number <= last; number++) {
      assert.equal(inbox.hasHandedOver(number), number % 2 === 0, `${number}`);
    }
    assert.equal(take(sequence(3, 3)), '3');
  });

  test('and with keep a duplicate, as often as it is asked', () => {
    const { table, inbox, arrive } = setUp();
    arrive(['a', 1]);
    const [came] = table.files.keys();
    const kept = [1, 2].map(() => inbox.take(sequence(1, 1), undefined, true));
    assert.equal(new Set([came, ...kept]).size, 3);
    assert.equal(inbox.stats().heldFds, 1);
    assert.equal(inbox.take(sequence(1, 1)), came);
    assert.deepEqual(table.openFiles, ['a', 'a', 'a']);
  });

  test('nothing that a limit, the hold time, or close() would touch afterwards', () => {
    const { table, clock, inbox, arrive } = setUp({ maxHeldFds: 1, holdMs: 1000 });
    arrive(['a', 1]);
    inbox.take(sequence(1, 1));
    arrive(...Array.from({ length: 20 }, (_, index): [string, number] => [`${index}`, 2 + index]));
    clock.advance(5000);
    inbox.closeIdle();
    inbox.close(someError());
    assert.deepEqual(table.openFiles, ['a']);
  });

  test('where the descriptor table is full, too; only keep needs another number', () => {
    const { table, inbox, arrive, take } = setUp();
    arrive(['a', 1]);
    table.failures = 1;
    assert.throws(
      () => inbox.take(sequence(1, 1), undefined, true),
      reason('ERR_GRPCFD_RECEIVE_FAILED', /EMFILE/),
    );
    table.failures = 1;
    assert.equal(take(sequence(1, 1)), 'a');
  });

  test('so that a URL that only matches what an exact peer sent and was handed over fails at once', () => {
    const { inbox, arrive, take } = setUp();
    inbox.peerKind = 'exact';
    arrive(['a', 1]);
    assert.equal(take(sequence(1, 1)), 'a');
    assert.throws(() => take(inode(1)), reason('ERR_GRPCFD_ALREADY_RECEIVED', /inode:\/\/7\/1/));
    arrive(['again', 1]);
    assert.equal(take(inode(1)), 'again');
  });

  test('and one of an inode peer is waited for', () => {
    const { inbox, arrive, take } = setUp();
    inbox.peerKind = 'inode';
    arrive(['a', 1]);
    assert.equal(take(sequence(1, 1)), 'a');
    assert.equal(take(inode(1)), undefined);
  });

  test('nothing that stands for what the kernel refused to send', () => {
    const { table, inbox, take } = setUp();
    inbox.arrive([{ ...table.arrival('placeholder', 1), isPlaceholder: true }, table.arrival('b', 2)]);
    const refused = reason('ERR_GRPCFD_NOT_FOUND', /kernel of its sender refused/);
    assert.throws(() => take(sequence(1, 99)), refused);
    assert.throws(() => inbox.check(sequence(1, 99)), refused);
    assert.equal(take(sequence(2, 2)), 'b');
  });

  test('nor does a URL find that, in a call or out of it, now or later', () => {
    const { table, inbox, take } = setUp();
    const [scope, waiter] = [inbox.openCall(), new RecordingWaiter()];
    const placeholder = () => ({ ...table.arrival('placeholder', 1), isPlaceholder: true });
    inbox.wait(inode(1), waiter);
    inbox.arrive([placeholder(), placeholder()]);
    assert.equal(waiter.settlements, 0);
    assert.equal(take(inode(1)), undefined);
    scope.claim([sequence(1, 1)]);
    assert.equal(take(inode(1), scope), undefined);
    scope.claim([sequence(2, 1)]);
    assert.equal(take(inode(1), scope), undefined);
    assert.equal(inbox.stats().claimedFds, 2);
    scope.end();
    assert.deepEqual(table.openFiles, []);
  });
});

describe('check', () => {
  test('throws what take would, and receives nothing', () => {
    const { table, inbox, arrive, take } = setUp();
    arrive(['a', 1]);
    inbox.check(sequence(1, 1));
    inbox.check(sequence(1, 1));
    assert.deepEqual(table.openFiles, ['a']);
    assert.throws(() => inbox.check(sequence(2, 1)), reason('ERR_GRPCFD_NOT_FOUND'));
    assert.throws(() => inbox.check(sequence(1, 2)), reason('ERR_GRPCFD_REFERENCE_MISMATCH'));
    assert.equal(take(sequence(1, 1)), 'a');
    const error = someError();
    inbox.close(error);
    assert.throws(() => inbox.check(sequence(1, 1)), error);
  });
});

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
    inbox.close(someError());
    one.end();
    assert.deepEqual(table.openFiles, []);
  });
});

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
    inbox.close(someError());
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
    inbox.close(someError());
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
        inbox.close(error);
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
    inbox.close(error);
    inbox.close(someError());
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
