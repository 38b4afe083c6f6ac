import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ListFunctions, withArrays } from '#src/native/fd-lists.js';

test('an inode is written in decimal, however many of its 64 bits are used', () => {
  const values = [
    0n,
    1n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
    2n ** 64n - 1n,
  ];
  for (const dev of values) {
    for (const ino of values) {
      const identify: ListFunctions['identify'] = (_fds, _count, identities) => identities.set([dev, ino]);
      const functions = withArrays({ identify } as ListFunctions);
      assert.equal(functions.inode(0), `${dev}/${ino}`);
    }
  }
});
