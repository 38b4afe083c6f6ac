import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Inbox } from '#src/inbox/inbox.js';
import { resolveLimits } from '#src/inbox/limits.js';
import { FakeClock, FakeTable, inode, sequence } from './fakes.js';

function setUp() {
  const table = new FakeTable();
  const inbox = new Inbox(table, resolveLimits(), new FakeClock());
  return { table, inbox };
}

test('holds only the newest descriptor of an inode from an inode peer', () => {
  const { table, inbox } = setUp();
  inbox.peerKind = 'inode';
  inbox.arrive([table.arrival('first', 1), table.arrival('other', 2), table.arrival('second', 1)]);
  assert.deepEqual(table.openFiles, ['other', 'second']);
  inbox.arrive([table.arrival('third', 1)]);
  assert.deepEqual(table.openFiles, ['other', 'third']);
  assert.equal(table.files.get(inbox.take(inode(1)) ?? 0), 'third');
  assert.equal(inbox.stats().supersededFds, 2);
});

test('closes older duplicates once the peer is known to name by inode', () => {
  const { table, inbox } = setUp();
  inbox.peerKind = 'exact';
  inbox.arrive([table.arrival('first', 1)]);
  inbox.arrive([table.arrival('second', 1)]);
  assert.deepEqual(table.openFiles, ['first', 'second']);
  inbox.peerKind = 'inode';
  inbox.arrive([table.arrival('third', 1)]);
  assert.deepEqual(table.openFiles, ['third']);
});

test('keeps what a call claimed when an inode peer sends the inode again', () => {
  const { table, inbox } = setUp();
  inbox.peerKind = 'inode';
  inbox.arrive([table.arrival('claimed', 1)]);
  const call = inbox.openCall();
  call.claim([sequence(1, 1)]);
  inbox.arrive([table.arrival('newer', 1)]);
  assert.deepEqual(table.openFiles, ['claimed', 'newer']);
  call.end();
  assert.deepEqual(table.openFiles, ['newer']);
});
