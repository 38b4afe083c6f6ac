/** What waits to be closed, and to be sent, leaves room for others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClosePressure, type ClosingStream } from '#src/grpc/close-pressure.js';
import { native } from '#src/native/binding.js';
import { shareOfCloses } from '#src/socket/close-queue.js';
import { tableSize } from '#src/socket/table-size.js';
import { runFixture } from '../support/child.js';
import { within } from '../support/until.js';

const HANG_MS = 10_000;
const FIXTURE_MS = 60_000;
const PASSED = { code: 0, signal: null, stdout: 'passed\n', stderr: '' };

class FakeStream implements ClosingStream {
  closingFds = 0;
  stuckCloses = 0;
  reads = true;
}

function pressed() {
  const stream = new FakeStream();
  const stuck: number[] = [];
  return { stream, stuck, pressure: new ClosePressure(stream, (waiting) => void stuck.push(waiting)) };
}

test('nothing more is read while more waits to be closed than its share, and then it is', async () => {
  const { stream, stuck, pressure } = pressed();
  stream.closingFds = shareOfCloses();
  pressure.look();
  assert.equal(stream.reads, true);
  stream.closingFds++;
  pressure.look();
  assert.equal(stream.reads, false);
  pressure.look();
  stream.closingFds = 0;
  await within(HANG_MS, 'it is read', () => stream.reads);
  assert.deepEqual(stuck, []);
});

test('while all connections have many, one waits for its own closes, and one without any does not', async (t) => {
  const { stream, pressure } = pressed();
  const pending = t.mock.method(native, 'queuedCloses', () => shareOfCloses() + 1);
  pressure.look();
  assert.equal(stream.reads, true);
  stream.closingFds = 1;
  pressure.look();
  assert.equal(stream.reads, false);
  pending.mock.restore();
  await within(HANG_MS, 'it is read', () => stream.reads);
});

test('a connection whose few closes hang is read all the same', async (t) => {
  const { stream, stuck, pressure } = pressed();
  t.mock.method(native, 'queuedCloses', () => shareOfCloses() + 1);
  stream.closingFds = 3;
  pressure.look();
  assert.equal(stream.reads, false);
  stream.stuckCloses = 3;
  await within(HANG_MS, 'it is read', () => stream.reads);
  pressure.look();
  assert.deepEqual([stream.reads, stuck], [true, []]);
});

test('while a quarter of the table waits, nobody brings more', async (t) => {
  const { stream, pressure } = pressed();
  const queued = t.mock.method(native, 'queuedCloses', () => Math.floor(tableSize() / 4) + 1);
  pressure.look();
  assert.equal(stream.reads, false);
  queued.mock.restore();
  await within(HANG_MS, 'it is read', () => stream.reads);
});

test('when none is closed for a second, the connection ends', async () => {
  const { stream, stuck, pressure } = pressed();
  stream.closingFds = shareOfCloses() + 5;
  pressure.look();
  stream.stuckCloses = stream.closingFds;
  await within(HANG_MS, 'it is told', () => stuck.length > 0);
  assert.deepEqual([stuck, stream.reads], [[shareOfCloses() + 5], false]);
});

test('a peer without calls gets no further than its share with what cannot be closed', async () => {
  assert.deepEqual(
    await runFixture('./fixtures/close-pressure.js', import.meta.url, [], {}, FIXTURE_MS),
    PASSED,
  );
});

test('what waits to be sent to one peer leaves room in the table', async () => {
  assert.deepEqual(
    await runFixture('./fixtures/outgoing-share.js', import.meta.url, [], {}, FIXTURE_MS),
    PASSED,
  );
});
