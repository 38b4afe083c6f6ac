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

test('For an inode peer, only the newest descriptor of an inode is held', () => {
  const { table, inbox } = setUp();
  inbox.inodePeer = true;
  inbox.arrive([table.arrival('first', 1), table.arrival('other', 2), table.arrival('second', 1)]);
  assert.deepEqual(table.openFiles, ['other', 'second']);
  inbox.arrive([table.arrival('third', 1)]);
  assert.deepEqual(table.openFiles, ['other', 'third']);
  assert.equal(table.files.get(inbox.take(inode(1)) ?? 0), 'third');
  assert.equal(inbox.stats().supersededFds, 2);
});

test('Older descriptors of an inode are closed once the peer is known to be an inode peer', () => {
  const { table, inbox } = setUp();
  inbox.exactPeer = true;
  inbox.arrive([table.arrival('first', 1)]);
  inbox.arrive([table.arrival('second', 1)]);
  assert.deepEqual(table.openFiles, ['first', 'second']);
  inbox.exactPeer = false;
  inbox.inodePeer = true;
  inbox.arrive([table.arrival('third', 1)]);
  assert.deepEqual(table.openFiles, ['third']);
});

test('A descriptor that a call claimed stays held when an inode peer sends its inode again', () => {
  const { table, inbox } = setUp();
  inbox.inodePeer = true;
  inbox.arrive([table.arrival('claimed', 1)]);
  const call = inbox.openCall();
  call.claim([sequence(1, 1)]);
  inbox.arrive([table.arrival('newer', 1)]);
  assert.deepEqual(table.openFiles, ['claimed', 'newer']);
  call.end();
  assert.deepEqual(table.openFiles, ['newer']);
});
