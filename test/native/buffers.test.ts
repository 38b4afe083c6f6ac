import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '#src/native/binding.js';

test('freeBuffers: those that have their memory to themselves, and no others', () => {
  const own = new Uint8Array(64 * 1024);
  const shared = Buffer.alloc(1024, 1);
  const part = shared.subarray(0, 512);
  const before = process.memoryUsage().arrayBuffers;
  native.freeBuffers([own, part, new Uint8Array(0)]);
  assert.ok(process.memoryUsage().arrayBuffers <= before - 64 * 1024, 'at once');
  assert.equal(own.length, 0);
  assert.deepEqual([part.length, shared.at(0)], [512, 1]);
  native.freeBuffers([own]);
  assert.throws(() => native.freeBuffers([1 as unknown as Uint8Array]), { code: 'ERR_INVALID_ARG_TYPE' });
});
