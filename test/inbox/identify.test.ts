import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Inbox } from '#src/inbox/inbox.js';
import { FakeTable, inode, RecordingWaiter, sequence } from './fakes.js';

/** Counts the looks at files. The number of the inode is that of the descriptor. */
class CountingTable extends FakeTable {
  readonly looks: number[] = [];

  override readonly identify = (fd: number): string => {
    assert.ok(this.files.has(fd), `fd ${fd} was looked at when it was not open`);
    this.looks.push(fd);
    return `7/${fd}`;
  };
}

function held(
  peerKind: Inbox['peerKind'],
  count: number,
): { inbox: Inbox; table: CountingTable; fds: number[] } {
  const table = new CountingTable();
  const inbox = new Inbox(table);
  inbox.peerKind = peerKind;
  const fds = Array.from({ length: count }, (_, index) => table.open(`file ${index}`));
  inbox.arrive(fds.map((fd) => ({ fd })));
  return { inbox, table, fds };
}

test('What an exact peer sends is not looked at when it comes, nor when it is closed', () => {
  const { inbox, table } = held('exact', 5);
  inbox.closeIdle();
  assert.deepEqual(table.looks, []);
  assert.deepEqual(table.openFiles, []);
});

test('What a call claims is looked at, and nothing else', () => {
  const { inbox, table, fds } = held('exact', 5);
  const call = inbox.openCall();
  call.claim([sequence(2, fds[1] ?? 0)]);
  assert.deepEqual(table.looks, [fds[1]]);
  call.end();
  assert.deepEqual(table.openFiles, ['file 0', 'file 2', 'file 3', 'file 4']);
});

test('The first receive by URL looks at all that is held, once, and from then on at all that comes', () => {
  const { inbox, table, fds } = held('exact', 3);
  const received = inbox.take(inode(fds[1] ?? 0));
  assert.equal(table.files.get(received ?? 0), 'file 1');
  assert.deepEqual(table.looks, fds);
  assert.equal(inbox.take(inode(1)), undefined);
  const later = table.open('later');
  inbox.arrive([{ fd: later }]);
  assert.equal(table.files.get(inbox.take(inode(later)) ?? 0), 'later');
  assert.deepEqual(table.looks, [...fds, later]);
});

test('The newest of an inode is the one that came last, also if another was used since', () => {
  const table = new CountingTable();
  const inbox = new Inbox(table);
  inbox.arrive([
    { fd: table.open('older'), inode: '7/1' },
    { fd: table.open('newer'), inode: '7/1' },
  ]);
  inbox.take({ kind: 'sequence', sequence: 1 }, undefined, true);
  assert.equal(table.files.get(inbox.take(inode(1)) ?? 0), 'newer');
});

test('A wait by URL gets what comes later, and what is held was looked at when it began', () => {
  const { inbox, table, fds } = held('unknown', 2);
  const waiter = new RecordingWaiter();
  const later = table.open('later');
  inbox.wait(inode(later), waiter);
  assert.deepEqual(table.looks, fds);
  inbox.arrive([{ fd: later }]);
  assert.deepEqual(
    waiter.fds.map((fd) => table.files.get(fd)),
    ['later'],
  );
});

test('What a peer sends that names by inode is looked at when it comes', () => {
  const { table, fds } = held('inode', 3);
  assert.deepEqual(table.looks, fds);
});

test('A URL of what was handed over fails at once, though nobody had asked by URL before', () => {
  const { inbox, table, fds } = held('exact', 2);
  inbox.take(sequence(1, fds[0] ?? 0));
  assert.throws(() => inbox.take(inode(fds[0] ?? 0)), { reason: 'ERR_GRPCFD_ALREADY_RECEIVED' });
  assert.deepEqual(table.looks, fds);
});
