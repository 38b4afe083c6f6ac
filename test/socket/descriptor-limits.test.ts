import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFixture } from '../support/child.js';

async function passes(name: string, ...args: string[]): Promise<void> {
  const result = await runFixture(name, import.meta.url, args);
  assert.deepEqual(result, { code: 0, signal: null, stdout: 'passed\n', stderr: '' });
}

test('a full descriptor table when descriptors arrive: truncation is reported, no byte is lost, nothing leaks', () =>
  passes('fixtures/table-full.js', 'receive'));

test('a full descriptor table when some are to be sent: EMFILE, and none of them is', () =>
  passes('fixtures/table-full.js', 'sendFd'));

test('a full descriptor table when bytes and descriptors leave at once: no number is needed, and else all or nothing goes', () =>
  passes('fixtures/table-full.js', 'writeWithFds'));

test('a refused descriptor makes room for its placeholder in an otherwise full table', () =>
  passes('fixtures/table-full.js', 'placeholder'));

test('no room for a placeholder: the connection fails, before the count of descriptors is wrong', () =>
  passes('fixtures/table-full.js', 'noPlaceholder'));

test('a full descriptor table when a client connects: the listener waits, without spinning, and then accepts', () =>
  passes('fixtures/table-full.js', 'accept'));

test('too many descriptors in flight: the write waits until the receiver has taken some', () =>
  passes('fixtures/too-many-in-flight.js'));
