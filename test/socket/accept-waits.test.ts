/** A listener and a table that is full, or full of what is being closed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { native } from '#src/native/binding.js';
import { shareOfCloses } from '#src/socket/close-queue.js';
import { tableSize } from '#src/socket/table-size.js';
import { UnixListener } from '#src/socket/unix-listener.js';
import { turns } from '../support/bridged.js';
import { leaveFree, liftLimit } from '../support/descriptor-limit.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { freshAddress } from '../support/service.js';
import { within } from '../support/until.js';

trackDescriptors();

const HANG_MS = 10_000;

async function listening() {
  const path = freshAddress().slice('unix:'.length);
  const errors: NodeJS.ErrnoException[] = [];
  let accepted = 0;
  const listener = await UnixListener.listen(
    { path },
    {
      onConnection: (fd) => {
        native.close(fd);
        accepted++;
      },
      onError: (error) => void errors.push(error),
    },
  );
  defer(() => listener.close());
  const connect = () => {
    const fd = native.connectUnix(Buffer.from(path));
    defer(() => native.close(fd));
  };
  return { errors, connect, accepted: () => accepted };
}

test('connections wait for closes, and are accepted when those take long', async (t) => {
  const { connect, accepted } = await listening();
  const pending = t.mock.method(native, 'queuedCloses', () => shareOfCloses() + 1);
  connect();
  await within(HANG_MS, 'it is accepted', () => accepted() === 1);
  assert.ok(pending.mock.callCount() > 1);
});

test('connections wait while closes end, and are accepted as soon as enough is closed', async (t) => {
  const { connect, accepted } = await listening();
  let left = 1_000_000;
  t.mock.method(native, 'queuedCloses', () => left);
  connect();
  // Longer than closes that hang are waited for.
  const end = performance.now() + 300;
  while (performance.now() < end) {
    left--;
    await turns(1);
  }
  assert.equal(accepted(), 0);
  left = 0;
  await within(HANG_MS, 'it is accepted', () => accepted() === 1);
});

test('nobody is accepted while a quarter of the table waits to be closed', async (t) => {
  const { connect, accepted } = await listening();
  const queued = t.mock.method(native, 'queuedCloses', () => Math.floor(tableSize() / 4) + 1);
  connect();
  // Some are accepted after 50 ms without a close, otherwise.
  await delay(300);
  assert.equal(accepted(), 0);
  queued.mock.restore();
  await within(HANG_MS, 'it is accepted', () => accepted() === 1);
});

test('a table that is full again and again is reported once', async () => {
  const { connect, accepted, errors } = await listening();
  for (let round = 1; round <= 3; round++) {
    connect();
    leaveFree(0);
    await turns(10);
    liftLimit();
    await within(HANG_MS, 'it is accepted', () => accepted() === round);
  }
  assert.deepEqual(
    errors.map(({ code }) => code),
    ['EMFILE'],
  );
});
