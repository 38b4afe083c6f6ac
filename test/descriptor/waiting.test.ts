/** Files that have nothing to read for now, or take nothing: what waits for them, and what ends the wait. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { buffer, text } from 'node:stream/consumers';
import { finished, pipeline } from 'node:stream/promises';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { ReceivedFile } from 'grpcfd';
import { native } from '#src/native/binding.js';
import { WAY } from '#src/native/file-types.js';
import { failure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { IDLE, newFifo, sharedState } from '../support/idle.js';
import { within } from '../support/until.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Writes to one end of a pseudoterminal, and waits until a reader has taken it at the other end, since a close would drop it. */
async function writeToTerminal(into: number, out: number, part: string): Promise<void> {
  writeSync(into, part);
  // The kernel passes it on in a thread of its own. Nobody reads before the next turn.
  while (native.testing.unreadBytes(out) < part.length);
  await within(10_000, 'a reader', () => native.testing.unreadBytes(out) === 0);
}

/** A file whose open file is shared with a "sender", and the other end. At the end, the sender's state must be as it was. */
function received(kind: string): { file: ReceivedFile; into: number; sender: number } {
  const { out, into } = IDLE[kind]?.() ?? assert.fail();
  const before = sharedState(out);
  const file = new ReceivedFile(native.duplicate(out));
  defer(async () => {
    await file.close();
    closeSync(out);
  });
  defer(() => assert.equal(sharedState(out), before));
  return { file, into, sender: out };
}

describe('Waiting', () => {
  trackDescriptors();

  for (const kind of Object.keys(IDLE)) {
    const closable = (into: number) => {
      let isOpen = true;
      const close = () => {
        if (isOpen) closeSync(into);
        isOpen = false;
      };
      defer(close);
      return close;
    };

    test(`read() waits for a ${kind}`, async () => {
      const { file, into } = received(kind);
      closable(into);
      const memory = Buffer.alloc(10);
      const reading = file.read(memory, 2);
      await turn();
      writeSync(into, 'abc');
      assert.equal((await reading).bytesRead, 3);
      assert.equal(memory.toString(), '\0\0abc\0\0\0\0\0');
    });

    test(`A stream reads a ${kind} as its bytes arrive, to its end`, async () => {
      const { file, into } = received(kind);
      const close = closable(into);
      let chunks = 0;
      const stream = file.createReadStream();
      await turn();
      writeSync(into, 'x');
      for await (const chunk of stream) {
        assert.equal(String(chunk), 'x');
        await turn();
        if (++chunks === 3) close();
        else writeSync(into, 'x');
      }
      assert.equal(chunks, 3);
    });

    test(`readFile() reads a ${kind} to its end`, async () => {
      const { file, into, sender } = received(kind);
      const close = closable(into);
      const reading = file.readFile('utf8');
      for (const part of ['to ', 'the ', 'end']) {
        await turn();
        if (kind === 'slave of a pty') await writeToTerminal(into, sender, part);
        else writeSync(into, part);
      }
      close();
      assert.equal(await reading, 'to the end');
    });

    test(`readFile() of a ${kind} stops above maxBytes`, async () => {
      const { file, into } = received(kind);
      closable(into);
      writeSync(into, 'four');
      await assert.rejects(file.readFile({ maxBytes: 3 }), { reason: 'ERR_GRPCFD_FILE_TOO_LARGE' });
    });

    test(`close() ends all that waits for a ${kind}`, async () => {
      const { file, into } = received(kind);
      closable(into);
      const stream = file.createReadStream();
      const waiting = [file.readFile(), file.read(Buffer.alloc(1)), finished(stream.resume())];
      const failures = Promise.all(waiting.map(failure));
      await turn();
      await file.close();
      for (const error of await failures) {
        assert.equal((error as { reason?: string }).reason, 'ERR_GRPCFD_FILE_CLOSED');
      }
      await assert.rejects(file.read(Buffer.alloc(1)), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
      assert.throws(() => file.createReadStream(), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
    });

    test(`A signal ends all that waits for a ${kind}, and takes no byte`, async () => {
      const { file, into } = received(kind);
      closable(into);
      const why = new Error('enough');
      const abort = new AbortController();
      const { signal } = abort;
      const waiting = [file.readFile({ signal }), file.read(Buffer.alloc(1), { signal })];
      const stream = finished(file.createReadStream({ signal }).resume());
      const failures = Promise.all([...waiting, stream].map(failure));
      await turn();
      abort.abort(why);
      const [one, two, three] = (await failures) as { reason?: string; name: string; cause: unknown }[];
      for (const error of [one, two]) {
        assert.equal(error?.reason, 'ERR_GRPCFD_ABORTED');
        assert.equal(error?.cause, why);
      }
      assert.equal(three?.name, 'AbortError');
      await assert.rejects(file.read(Buffer.alloc(1), { signal }), { reason: 'ERR_GRPCFD_ABORTED' });
      writeSync(into, 'still here');
      const memory = Buffer.alloc(100);
      assert.equal((await file.read(memory)).bytesRead, 10);
    });

    test(`destroy() ends a stream that waits for a ${kind}, and takes no byte`, async () => {
      const { file, into } = received(kind);
      closable(into);
      const stream = file.createReadStream().resume();
      await turn();
      stream.destroy();
      await once(stream, 'close');
      writeSync(into, 'still here');
      assert.equal((await file.read(Buffer.alloc(100))).bytesRead, 10);
    });

    test(`release() gives away a ${kind} that is waited for`, async () => {
      const { file, into } = received(kind);
      closable(into);
      const reading = failure(file.read(Buffer.alloc(1)));
      await turn();
      const fd = file.release();
      assert.equal(((await reading) as { reason?: string }).reason, 'ERR_GRPCFD_FILE_CLOSED');
      writeSync(into, 'x');
      assert.equal(readSync(fd, Buffer.alloc(10)), 1);
      closeSync(fd);
    });

    test(`A ${kind} has no positions`, async () => {
      const { file, into } = received(kind);
      closable(into);
      await assert.rejects(file.read(Buffer.alloc(1), 0, 1, 0), { code: 'ESPIPE', syscall: 'read' });
    });
  }

  for (const kind of ['pipe', 'FIFO', 'socket']) {
    test(`A stream writes into a ${kind} that is read slowly, every byte once and in order`, async () => {
      const { out, into } = IDLE[kind]?.() ?? assert.fail();
      const before = sharedState(into);
      const content = Buffer.from(Array.from({ length: 1_500_000 }, (_, index) => (index * 7919) % 251));
      await using reader = new ReceivedFile(out);
      await using writer = new ReceivedFile(native.duplicate(into));
      const reading = buffer(reader.createReadStream({ highWaterMark: 5000 }));
      const stream = writer.createWriteStream();
      assert.equal(stream.write(content), false, 'back-pressure');
      stream.end();
      await finished(stream);
      assert.equal(sharedState(into), before);
      closeSync(into);
      await writer.close();
      assert.ok((await reading).equals(content));
    });

    test(`A stream that writes into a full ${kind} ends at close(), at a signal and at destroy()`, async () => {
      const { out, into } = IDLE[kind]?.() ?? assert.fail();
      defer(() => closeSync(out));
      const file = new ReceivedFile(into);
      while (native.writeNow(into, kind === 'socket' ? WAY.SOCKET : WAY.PIPE, Buffer.alloc(65536)) > 0);
      const abort = new AbortController();
      const streams = [
        file.createWriteStream(),
        file.createWriteStream({ signal: abort.signal }),
        file.createWriteStream(),
      ] as const;
      const failures = streams.map((stream) => failure(finished(stream)));
      for (const stream of streams) stream.write('x');
      const writing = failure(file.write(Buffer.from('x'), { signal: abort.signal }));
      await turn();
      abort.abort();
      streams[2].destroy();
      assert.equal(((await writing) as { reason?: string }).reason, 'ERR_GRPCFD_ABORTED');
      assert.equal(((await failures[1]) as Error).name, 'AbortError');
      await failures[2];
      await file.close();
      assert.equal(((await failures[0]) as { reason?: string }).reason, 'ERR_GRPCFD_FILE_CLOSED');
    });

    test(`A stream that writes into a ${kind} whose reader is gone fails with EPIPE`, async () => {
      const { out, into } = IDLE[kind]?.() ?? assert.fail();
      await using file = new ReceivedFile(into);
      closeSync(out);
      await assert.rejects(pipeline(['x'], file.createWriteStream()), { code: 'EPIPE', syscall: 'write' });
    });
  }

  test('A FIFO that has had no writer yet is waited for, and ends with its first writer', async () => {
    const path = newFifo();
    const out = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    native.setNonBlocking(out, false);
    await using file = new ReceivedFile(out);
    const reading = text(file.createReadStream());
    await turn();
    const into = openSync(path, 'w');
    await turn();
    writeSync(into, 'at last');
    closeSync(into);
    assert.equal(await reading, 'at last');
    assert.equal(await file.readFile('utf8'), '');
  });

  test('The end of a stream ends the writing side of a socket, and leaves the other side as it is', async () => {
    const { out, into } = IDLE['socket']?.() ?? assert.fail();
    await using near = new ReceivedFile(out);
    await using far = new ReceivedFile(into);
    await pipeline(['question'], near.createWriteStream());
    assert.equal(await far.readFile('utf8'), 'question');
    await pipeline(['answer'], far.createWriteStream());
    assert.equal(await text(near.createReadStream()), 'answer');
  });

  test('A file that is both read and written waits for both', async () => {
    const { out, into } = IDLE['socket']?.() ?? assert.fail();
    await using near = new ReceivedFile(out);
    await using far = new ReceivedFile(into);
    const content = Buffer.alloc(3_000_000, 'both ways');
    const [there, back] = await Promise.all([
      buffer(far.createReadStream()),
      buffer(near.createReadStream()),
      pipeline([content], near.createWriteStream()),
      pipeline([content], far.createWriteStream()),
    ]);
    assert.ok(there.equals(content) && back.equals(content));
  });

  test('A file that always has something to read does not stop the event loop', async () => {
    const { out, into } = IDLE['pipe']?.() ?? assert.fail();
    const child = spawn('cat', ['/dev/zero'], { stdio: ['inherit', into, 'inherit'] });
    closeSync(into);
    await using file = new ReceivedFile(out);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await assert.rejects(file.readFile({ maxBytes: 100_000_000 }), { reason: 'ERR_GRPCFD_FILE_TOO_LARGE' });
    clearInterval(timer);
    assert.ok(turns > 10, `${turns} turns`);
    child.kill();
    await once(child, 'exit');
  });

  describe('for the master of a pty', () => {
    test('needs an open file of its own', async () => {
      const [master, slave] = native.testing.terminal();
      const before = sharedState(master);
      await using file = new ReceivedFile(native.duplicate(master));
      const expected = { reason: 'ERR_GRPCFD_WOULD_BLOCK', code: 9, details: /exclusive: true/ };
      assert.throws(() => file.createReadStream(), expected);
      assert.throws(() => file.createWriteStream(), expected);
      await assert.rejects(file.read(Buffer.alloc(1)), expected);
      await assert.rejects(file.write(Buffer.alloc(1)), expected);
      await assert.rejects(file.readFile(), expected);
      assert.equal(sharedState(master), before);
      closeSync(master);
      closeSync(slave);
    });

    test('makes it non-blocking where nobody else has it, and ends with the last slave', async () => {
      const [master, slave] = native.testing.terminal();
      await using file = new ReceivedFile(master);
      const reading = text(file.createReadStream({ exclusive: true }));
      const writing = file.createWriteStream({ exclusive: true });
      writing.write('typed');
      await turn();
      const memory = Buffer.alloc(10);
      assert.equal(readSync(slave, memory), 5);
      await writeToTerminal(slave, master, 'shown');
      closeSync(slave);
      assert.equal(await reading, 'shown');
    });
  });

  test('for an eventfd does not need a thread, and for an inotify is refused', async () => {
    await using counter = new ReceivedFile(native.testing.eventFd());
    native.setNonBlocking(counter.fd, false);
    const reading = counter.read(Buffer.alloc(8));
    await turn();
    writeSync(counter.fd, BigUint64Array.of(3n));
    assert.equal((await reading).buffer.readBigUInt64LE(), 3n);
    await using watcher = new ReceivedFile(native.testing.inotify());
    await assert.rejects(watcher.read(Buffer.alloc(100)), { reason: 'ERR_GRPCFD_WOULD_BLOCK' });
    const aborted = failure(
      watcher.read(Buffer.alloc(100), { exclusive: true, signal: AbortSignal.timeout(1) }),
    );
    assert.equal(((await aborted) as { reason?: string }).reason, 'ERR_GRPCFD_ABORTED');
  });

  test('for many idle files leaves the thread pool to others', async () => {
    const files = Array.from({ length: 8 }, (_, index) => received(Object.keys(IDLE)[index % 4] ?? ''));
    const waiting = files.map(({ file }, index) =>
      failure(index % 2 === 0 ? text(file.createReadStream()) : file.readFile()),
    );
    await turn();
    assert.ok((await readFile('/proc/version', 'utf8')).length > 0);
    await Promise.all(files.map(({ file }) => file.close()));
    await Promise.all(waiting);
    for (const { into } of files) closeSync(into);
  });
});

describe('Waiting, in another process,', () => {
  trackDescriptors();

  test('for the pipe of another user works without the right to open it', {
    skip: process.getuid?.() !== 0 && 'only root can become somebody else',
  }, async () => {
    const { out, into } = IDLE['pipe']?.() ?? assert.fail();
    const before = sharedState(out);
    const path = fileURLToPath(new URL('./fixtures/other-user.js', import.meta.url));
    const child = spawn(process.execPath, [path], { stdio: [out, 'pipe', 'inherit'] });
    assert.ok(child.stdout);
    const printed = text(child.stdout);
    writeSync(into, 'for somebody else');
    closeSync(into);
    assert.equal(await printed, 'EACCES for somebody else\n');
    assert.equal(sharedState(out), before);
    closeSync(out);
  });

  test('ends with a worker that is terminated', async () => {
    const { out, into } = IDLE['pipe']?.() ?? assert.fail();
    const worker = new Worker(new URL('./fixtures/waiting-worker.js', import.meta.url), { workerData: out });
    await once(worker, 'message');
    await worker.terminate();
    writeSync(into, 'untouched');
    assert.equal(readSync(out, Buffer.alloc(100)), 9);
    closeSync(out);
    closeSync(into);
  });

  test('keeps it alive until nothing waits any more', async () => {
    const { out, into } = IDLE['pipe']?.() ?? assert.fail();
    const path = fileURLToPath(new URL('./fixtures/waits-and-exits.js', import.meta.url));
    const child = spawn(process.execPath, [path], { stdio: [out, 'pipe', 'inherit'] });
    assert.ok(child.stdout);
    assert.equal(await text(child.stdout), 'waited\nFILE_CLOSED\n');
    closeSync(out);
    closeSync(into);
  });
});
