import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { beforeEach, describe, test } from 'node:test';
import { Inbox } from '#src/inbox/inbox.js';
import { DEFAULT_LIMITS } from '#src/inbox/limits.js';
import { PendingReceive, receive } from '#src/inbox/pending-receive.js';
import { FakeClock, FakeTable, inode, RecordingWaiter, sequence, someError } from './fakes.js';

describe('PendingReceive', () => {
  let table: FakeTable;
  let first: Inbox;
  let second: Inbox;

  beforeEach(() => {
    table = new FakeTable();
    first = new Inbox(table, DEFAULT_LIMITS, new FakeClock());
    second = new Inbox(table, DEFAULT_LIMITS, new FakeClock());
  });

  const fileOf = async (promise: Promise<number>): Promise<string | undefined> =>
    table.files.get(await promise);
  const pending = (): number => first.stats().pendingReceives + second.stats().pendingReceives;

  test('A receive takes a descriptor that has already arrived', async () => {
    first.arrive([table.arrival('a', 1)]);
    const receiving = new PendingReceive(inode(1));
    receiving.attach(first);
    assert.equal(receiving.isSettled, true);
    assert.equal(await fileOf(receiving.promise), 'a');
    assert.equal(pending(), 0);
  });

  test('A receive waits on every connection that it is attached to, and the first result counts', async () => {
    let settled = 0;
    const receiving = new PendingReceive(inode(1), {}, () => settled++);
    receiving.attach(first);
    receiving.attach(first);
    receiving.attach(second);
    assert.equal(pending(), 2);
    second.arrive([table.arrival('b', 1)]);
    assert.equal(pending(), 0);
    first.arrive([table.arrival('a', 1)]);
    receiving.attach(first);
    receiving.fail(someError());
    assert.equal(await fileOf(receiving.promise), 'b');
    assert.equal(settled, 1);
    assert.deepEqual(table.openFiles, ['b', 'b', 'a'], 'two that are held, and one duplicate');
  });

  test('A second result that arrives during the first one is closed', async () => {
    const receiving = new PendingReceive(inode(1));
    first.wait(inode(1), new RecordingWaiter(() => second.arrive([table.arrival('b', 1)])));
    receiving.attach(first);
    receiving.attach(second);
    first.arrive([table.arrival('a', 1)]);
    assert.equal(await fileOf(receiving.promise), 'b');
    assert.deepEqual(table.openFiles.sort(), ['a', 'a', 'b', 'b']);
  });

  test('A receive that is detached from one connection goes on waiting on another one', async () => {
    const receiving = new PendingReceive(inode(1));
    receiving.attach(first);
    receiving.detach(first);
    receiving.detach(first);
    first.close(someError);
    assert.equal(receiving.isSettled, false);
    receiving.attach(second);
    second.arrive([table.arrival('b', 1)]);
    assert.equal(await fileOf(receiving.promise), 'b');
  });

  test('A receive fails with the error that the inbox throws or reports', async () => {
    const error = someError();
    const waiting = new PendingReceive(inode(1));
    waiting.attach(first);
    const exact = new PendingReceive(sequence(1, 1));
    exact.attach(first);
    await assert.rejects(exact.promise, { reason: 'ERR_GRPCFD_NOT_FOUND' });
    first.close(() => error);
    await assert.rejects(waiting.promise, (actual) => actual === error);
    assert.throws(
      () => receive(first, inode(1)),
      (actual) => actual === error,
    );
  });

  test('A receive ends with the call in whose scope it waits', async () => {
    const scope = first.openCall();
    const receiving = receive(first, inode(1), {}, scope);
    scope.end();
    await assert.rejects(receiving, { reason: 'ERR_GRPCFD_CALL_ENDED' });
  });

  test('A receive ends when its signal aborts, and its error has the reason as cause', async () => {
    const controller = new AbortController();
    const receiving = receive(first, inode(1), { signal: controller.signal });
    const cause = new Error('not needed any more');
    controller.abort(cause);
    await assert.rejects(receiving, { reason: 'ERR_GRPCFD_ABORTED', code: 1, cause });
    assert.equal(pending(), 0);
  });

  test('A receive with a signal that is already aborted fails at once and takes nothing', async () => {
    first.arrive([table.arrival('a', 1)]);
    const cause = new Error('never needed');
    const receiving = new PendingReceive(inode(1), { signal: AbortSignal.abort(cause) });
    receiving.attach(first);
    await assert.rejects(receiving.promise, { reason: 'ERR_GRPCFD_ABORTED', cause });
    assert.deepEqual(table.openFiles, ['a']);
  });

  test('A receive leaves no listener on its signal, whatever its outcome', async () => {
    const { signal } = new AbortController();
    const arriving = new PendingReceive(inode(1), { signal });
    const failing = new PendingReceive(inode(2), { signal });
    assert.equal(getEventListeners(signal, 'abort').length, 2);
    arriving.attach(first);
    first.arrive([table.arrival('a', 1)]);
    failing.fail(someError());
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    await arriving.promise;
  });

  test('A receive ends after its timeoutMs, and the error names that time', async () => {
    const receiving = receive(first, inode(1), { timeoutMs: 3 });
    await assert.rejects(receiving, {
      reason: 'ERR_GRPCFD_TIMEOUT',
      code: 4,
      details: 'inode://7/1 did not arrive within 3 ms',
    });
    assert.equal(pending(), 0);
  });

  for (const timeoutMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '5' as unknown as number]) {
    test(`A timeoutMs of ${String(timeoutMs)} (${typeof timeoutMs}) is refused`, async () => {
      first.arrive([table.arrival('a', 1)]);
      await assert.rejects(receive(first, inode(1), { timeoutMs }), {
        reason: 'ERR_GRPCFD_INVALID_ARGUMENT',
        details: /^timeoutMs must be above 0/,
      });
      assert.deepEqual(table.openFiles, ['a']);
    });
  }

  test('A receive that fails without a listener does not end the process', async (t) => {
    const unhandled = t.mock.fn();
    process.on('unhandledRejection', unhandled);
    t.after(() => process.off('unhandledRejection', unhandled));
    new PendingReceive(inode(1)).fail(someError());
    // Node reports unhandled rejections once the microtasks have run.
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(unhandled.mock.callCount(), 0);
  });
});
