import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFixture } from '../support/child.js';

async function passes(name: string, ...args: string[]): Promise<void> {
  const result = await runFixture(name, import.meta.url, args);
  assert.deepEqual(result, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
}

test('When descriptors arrive at a full descriptor table, truncation is reported, no byte is lost and nothing leaks', () =>
  passes('fixtures/table-full.js', 'receive'));

test('With a full descriptor table, sending several descriptors fails with EMFILE and sends none of them', () =>
  passes('fixtures/table-full.js', 'sendFd'));

test('With a full descriptor table, writeWithFds works while the kernel takes the descriptors at once, and otherwise sends all or none', () =>
  passes('fixtures/table-full.js', 'writeWithFds'));

test('A refused descriptor leaves room for its placeholder in an otherwise full descriptor table', () =>
  passes('fixtures/table-full.js', 'placeholder'));

test('Without room for a placeholder, the connection fails before the count of descriptors becomes wrong', () =>
  passes('fixtures/table-full.js', 'noPlaceholder'));

test('With a full descriptor table, a listener waits without spinning, and accepts when there is room', () =>
  passes('fixtures/table-full.js', 'accept'));

test('With a full descriptor table, what can be let go makes room for what is accepted, duplicated, opened and made', () =>
  passes('fixtures/table-full.js', 'room'));

test('With too many descriptors in flight, a write waits until the receiver has taken some', () =>
  passes('fixtures/too-many-in-flight.js'));
