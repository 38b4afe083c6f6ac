import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Inbox } from '#src/inbox/inbox.js';
import { FakeTable, inode, RecordingWaiter, sequence } from './fakes.js';

/** Files with the inodes from 1 on, from a peer of which nothing was asked by inode yet. */
function held(peerKind: Inbox['peerKind'], count: number): { inbox: Inbox; table: FakeTable } {
  const table = new FakeTable();
  const inbox = new Inbox(table);
  inbox.peerKind = peerKind;
  inbox.arrive(Array.from({ length: count }, (_, index) => table.arrival(`file ${index + 1}`, index + 1)));
  return { inbox, table };
}

test('The first receive by URL finds what is held, and later ones what comes', () => {
  const { inbox, table } = held('exact', 3);
  assert.equal(table.files.get(inbox.take(inode(2)) ?? 0), 'file 2');
  assert.equal(inbox.take(inode(4)), undefined);
  inbox.arrive([table.arrival('later', 4)]);
  assert.equal(table.files.get(inbox.take(inode(4)) ?? 0), 'later');
});

test('The newest of an inode is the one that came last, also if another was used since', () => {
  const table = new FakeTable();
  const inbox = new Inbox(table);
  inbox.arrive([table.arrival('older', 1), table.arrival('newer', 1)]);
  inbox.take({ kind: 'sequence', sequence: 1 }, undefined, true);
  assert.equal(table.files.get(inbox.take(inode(1)) ?? 0), 'newer');
});

test('A wait by URL gets what comes later', () => {
  const { inbox, table } = held('unknown', 2);
  const waiter = new RecordingWaiter();
  inbox.wait(inode(3), waiter);
  inbox.arrive([table.arrival('later', 3)]);
  assert.deepEqual(
    waiter.fds.map((fd) => table.files.get(fd)),
    ['later'],
  );
});

test('A URL of what was handed over fails at once, though nobody had asked by URL before', () => {
  const { inbox } = held('exact', 2);
  inbox.take(sequence(1, 1));
  assert.throws(() => inbox.take(inode(1)), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
});

test('A file that came again may still come when it is held no more, though nobody had asked by URL before', () => {
  const { inbox, table } = held('exact', 1);
  inbox.take(sequence(1, 1));
  inbox.arrive([table.arrival('again', 1)]);
  inbox.closeIdle();
  assert.equal(inbox.take(inode(1)), undefined);
});
