import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exchange } from '#src/exchange/exchange.js';
import { resolveLimits } from '#src/exchange/limits.js';
import { FakeClock, FakeTable, inode, sequence } from './fakes.js';

function setUp() {
  const table = new FakeTable();
  const exchange = new Exchange(table, resolveLimits(), new FakeClock());
  return { table, exchange };
}

test('of a peer that has only inodes for names, nothing but the newest of an inode is held', () => {
  const { table, exchange } = setUp();
  exchange.inodePeer = true;
  exchange.arrive([table.arrival('first', 1), table.arrival('other', 2), table.arrival('second', 1)]);
  assert.deepEqual(table.openFiles, ['other', 'second']);
  exchange.arrive([table.arrival('third', 1)]);
  assert.deepEqual(table.openFiles, ['other', 'third']);
  assert.equal(table.files.get(exchange.take(inode(1)) ?? 0), 'third');
  assert.equal(exchange.stats().supersededFds, 2);
});

test('and also of what came before that was known', () => {
  const { table, exchange } = setUp();
  exchange.exactPeer = true;
  exchange.arrive([table.arrival('first', 1)]);
  exchange.arrive([table.arrival('second', 1)]);
  assert.deepEqual(table.openFiles, ['first', 'second']);
  exchange.exactPeer = false;
  exchange.inodePeer = true;
  exchange.arrive([table.arrival('third', 1)]);
  assert.deepEqual(table.openFiles, ['third']);
});

test('what a call claimed stays', () => {
  const { table, exchange } = setUp();
  exchange.inodePeer = true;
  exchange.arrive([table.arrival('claimed', 1)]);
  const call = exchange.openCall();
  call.claim([sequence(1, 1)]);
  exchange.arrive([table.arrival('newer', 1)]);
  assert.deepEqual(table.openFiles, ['claimed', 'newer']);
  call.end();
  assert.deepEqual(table.openFiles, ['newer']);
});
