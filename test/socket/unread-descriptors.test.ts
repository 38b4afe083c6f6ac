import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { runFixture } from '../support/child.js';

async function passes(...args: string[]): Promise<void> {
  const result = await runFixture('fixtures/unread-descriptors.js', import.meta.url, args);
  assert.deepEqual(result, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
}

test('descriptors that a peer has not read are counted, and others wait until it reads', () => passes());

/** CAP_SYS_RESOURCE, in the first user namespace. */
function isExempt(): boolean {
  const effective = /^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  const isFirst = /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'));
  return isFirst && (BigInt(`0x${effective}`) & (1n << 24n)) !== 0n;
}

test(
  'where the kernel does not apply the limit, no descriptor waits',
  {
    skip: !isExempt() && 'the kernel does apply it to this process',
  },
  () => passes('exempt'),
);
