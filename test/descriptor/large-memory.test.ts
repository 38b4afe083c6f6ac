// The last use of much memory takes long to end. The event loop goes on meanwhile.
import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import { test } from 'node:test';
import { ReceivedFile } from 'grpcfd';
import { native } from '#src/native/binding.js';
import { F_SEAL_SHRINK, MFD_ALLOW_SEALING } from '#src/native/file-types.js';
import { trackDescriptors } from '../support/fd-table.js';

trackDescriptors();

const CHUNK = Buffer.alloc(16 << 20, 'x');
const SIZE = 512 << 20;
/** It takes the time of thousands of turns to free so much. */
const TURNS = 10;

function largeMemory(): ReceivedFile {
  const fd = native.memFd('large', SIZE, MFD_ALLOW_SEALING);
  for (let offset = 0; offset < SIZE; offset += CHUNK.length) writeSync(fd, CHUNK, 0, CHUNK.length, offset);
  native.addSeals(fd, F_SEAL_SHRINK);
  return new ReceivedFile(fd);
}

/** Turns of the event loop until the condition holds. */
async function turnsUntil(condition: () => boolean): Promise<number> {
  for (let turns = 0; ; turns++) {
    if (condition()) return turns;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A thread that is alone on a processor for so long has done it in few turns. That does not happen each time. */
async function takesManyTurns(end: () => Promise<number>): Promise<void> {
  const counts: number[] = [];
  while (counts.every((count) => count <= TURNS)) {
    assert.ok(counts.length < 5, `it took ${counts} turns`);
    counts.push(await end());
  }
}

test('the last close of 512 MiB of memory', () =>
  takesManyTurns(() => {
    let isClosed = false;
    void largeMemory()
      .close()
      .then(() => {
        isClosed = true;
      });
    return turnsUntil(() => isClosed);
  }));

test('the end of a mapping of 512 MiB, which is the last use of the memory', () =>
  takesManyTurns(async () => {
    const file = largeMemory();
    const memory = file.map();
    await memory.populate();
    await file.close();
    memory.close();
    assert.equal(memory.bytes.length, 0);
    return turnsUntil(() => native.pendingCloses() === 0);
  }));

test('a mapping of 512 MiB that is collected', () =>
  takesManyTurns(async () => {
    const file = largeMemory();
    const gone = new WeakRef(file.map().bytes.buffer);
    await file.close();
    // A thread that is quick may be done before it is seen.
    const deadline = Date.now() + 2_000;
    while (Date.now() < deadline && (gone.deref() !== undefined || native.pendingCloses() === 0)) {
      await new Promise((resolve) => setImmediate(resolve));
      globalThis.gc?.();
    }
    return turnsUntil(() => native.pendingCloses() === 0);
  }));
