// Code that runs in the middle of a read of the bridge's: listeners for descriptors, promises and ticks.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { closeAll } from '#src/native/binding.js';
import { handleOf, socketAndPeer, turns } from '../support/bridged.js';
import { defer, trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

/** Errors that nobody caught, until the end of the test. */
function uncaughtErrors(onError: (error: Error) => void = () => {}): string[] {
  const messages: string[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => {
    messages.push(error.message);
    onError(error);
  });
  defer(() => process.setUncaughtExceptionCaptureCallback(null));
  return messages;
}

test('a listener for descriptors that throws costs no byte', async () => {
  const uncaught = uncaughtErrors();
  const onDescriptors = (fds: number[]) => {
    closeAll(fds);
    throw new Error(`from the listener of ${fds.length}`);
  };
  const [socket, peer] = socketAndPeer('bridged', { onDescriptors });
  const received: string[] = [];
  socket.on('data', (chunk) => received.push(chunk.toString()));
  peer.send('one', [0]);
  peer.send('two', [0, 0]);
  peer.close();
  await once(socket, 'close');
  assert.deepEqual(received, ['one', 'two']);
  assert.deepEqual(uncaught, ['from the listener of 1', 'from the listener of 2']);
});

test('a handler of uncaught exceptions may destroy the socket before Node has the bytes', async () => {
  const onDescriptors = (fds: number[]) => {
    closeAll(fds);
    throw new Error('from the listener');
  };
  const [socket, peer] = socketAndPeer('bridged', { onDescriptors });
  const uncaught = uncaughtErrors(() => socket.destroy());
  let chunks = 0;
  socket.on('data', () => chunks++);
  peer.send('one', [0]);
  peer.send('two', [0]);
  await once(socket, 'close');
  assert.deepEqual([chunks, uncaught], [0, ['from the listener']]);
});

for (const what of ['destroy', 'throw', 'stop reading'] as const) {
  test(`${what} in a promise that descriptors settled, and in a tick`, async () => {
    for (const defer of [queueMicrotask, process.nextTick] as ((callback: () => void) => void)[]) {
      const log: string[] = [];
      const onDescriptors = (fds: number[]) => {
        closeAll(fds);
        defer(act);
      };
      const [socket, peer] = socketAndPeer('bridged', { onDescriptors });
      const act = () => {
        log.push(what);
        if (what === 'destroy') socket.destroy();
        else if (what === 'stop reading') handleOf(socket).readStop();
        else throw new Error('from a reaction');
      };
      const uncaught = uncaughtErrors();
      socket.on('data', (chunk) => log.push(chunk.toString()));
      peer.send('one', [0]);
      peer.send('two', [0]);
      if (what === 'throw') peer.close();
      while (log.length < 2) await turns(1);
      if (what === 'throw') await once(socket, 'close');
      await turns();
      assert.deepEqual(log, what === 'throw' ? ['one', what, 'two', what] : ['one', what]);
      assert.equal(uncaught.length, what === 'throw' ? 2 : 0);
      process.setUncaughtExceptionCaptureCallback(null);
      socket.destroy();
    }
  });
}
