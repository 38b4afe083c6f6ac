/** What a receive gets of what the inbox holds. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DescriptorName } from '#src/inbox/names.js';
import { inode, RecordingWaiter, reason, sequence, setUp, someError } from './fakes.js';

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
    inbox.close(someError);
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
    inbox.close(() => error);
    assert.throws(() => inbox.check(sequence(1, 1)), error);
  });
});
