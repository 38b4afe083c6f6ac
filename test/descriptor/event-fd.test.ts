/** Eventfds as doorbells, in one process. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, constants, readSync, writeSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createEventFd, type EventFd, ReceivedFile } from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { runFixture } from '../support/child.js';
import { failingSyscalls, whyNoFaults } from '../support/failing-syscalls.js';
import { assertFails, assertFailure } from '../support/failure.js';
import { defer, trackDescriptors } from '../support/fd-table.js';
import { sharedState } from '../support/idle.js';
import { collectUntil } from '../support/mappings.js';
import { fileWith } from '../support/temporary.js';

const HANG_MS = 20_000;
const O_CLOEXEC = 0o2000000;

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** What a receiver gets of a blocking eventfd, and the sender's descriptor, whose state must not change. */
function received({ isSemaphore = false } = {}): { bell: EventFd; sender: number } {
  const sender = native.testing.eventFd(isSemaphore);
  native.setNonBlocking(sender, false);
  const before = sharedState(sender);
  const bell = new ReceivedFile(native.duplicate(sender)).toEventFd();
  defer(() => {
    bell.close();
    assert.equal(sharedState(sender), before);
    closeSync(sender);
  });
  return { bell, sender };
}

function made(): EventFd {
  const bell = createEventFd();
  defer(() => bell.close());
  return bell;
}

const MAKERS = { 'of createEventFd()': made, 'that was received': () => received().bell };

describe('An eventfd', () => {
  trackDescriptors();

  for (const [which, make] of Object.entries(MAKERS)) {
    test(`${which} gives one turn for all rings before it, with their sum`, async () => {
      const bell = make();
      bell.notify();
      bell.notify();
      const values = bell.values();
      assert.deepEqual(await values.next(), { done: false, value: 2n });
      const next = values.next();
      await turn();
      for (let ring = 0; ring < 10_000; ring++) bell.notify();
      assert.deepEqual(await next, { done: false, value: 10_000n });
    });

    test(`${which} ends its iterations at close()`, async () => {
      const bell = make();
      const rung: bigint[] = [];
      const loop = (async () => {
        for await (const rings of bell) rung.push(rings);
      })();
      const waiting = bell.values().next();
      const later = bell.values();
      bell.notify();
      await turn();
      assert.deepEqual([bell.closed, rung], [false, [1n]]);
      bell.close();
      bell.close();
      await loop;
      assert.equal((await waiting).done, true);
      assert.equal((await later.next()).done, true);
      assert.equal(bell.closed, true);
      for (const use of [() => bell.fd, () => bell.notify(), () => bell.values()]) {
        assert.throws(use, { reason: 'ERR_GRPCFD_FILE_CLOSED', code: 9 });
      }
    });

    test(`${which} takes no ring for an iteration that a signal ends`, async () => {
      const bell = make();
      const why = new Error('enough');
      const abort = new AbortController();
      const values = bell.values({ signal: abort.signal });
      const next = values.next();
      await turn();
      abort.abort(why);
      const error = await assertFails(next, 'ERR_GRPCFD_ABORTED', 'CANCELLED');
      assert.equal(error.cause, why);
      assert.equal((await values.next()).done, true);
      bell.notify();
      await assertFails(bell.values({ signal: abort.signal }).next(), 'ERR_GRPCFD_ABORTED', 'CANCELLED');
      assert.equal((await bell.values().next()).value, 1n);
    });

    test(`${which} takes no ring for an iteration that its user leaves`, async () => {
      const bell = make();
      const values = bell.values();
      const next = values.next();
      await turn();
      await values.return?.();
      assert.equal((await next).done, true);
      bell.notify();
      for await (const rings of bell) {
        assert.equal(rings, 1n);
        break;
      }
      bell.notify();
      assert.equal((await bell.values().next()).value, 1n);
    });

    test(`${which} gives each ring to one of those who wait`, async () => {
      const bell = make();
      const other = new ReceivedFile(native.duplicate(bell.fd)).toEventFd();
      defer(() => other.close());
      // Two in one queue, and one with a descriptor of its own, which finds the counter taken when it was told of the ring.
      const turns = [bell.values(), bell.values(), other.values()].map((values) => values.next());
      const done: number[] = [];
      for (const [index, each] of turns.entries()) void each.then(() => done.push(index));
      for (let count = 1; count <= 3; count++) {
        await turn();
        assert.equal(done.length, count - 1);
        bell.notify();
        await Promise.any(turns.filter((_, index) => !done.includes(index)));
        await turn();
        assert.equal(done.length, count);
      }
    });

    test(`${which} that rings itself does not stop the event loop`, async () => {
      const bell = make();
      let fired = false;
      setTimeout(() => {
        fired = true;
      });
      bell.notify();
      for await (const _ of bell) {
        if (fired) break;
        bell.notify();
      }
    });
  }

  test('of createEventFd() is non-blocking, and not left to child processes', () => {
    const flags = /flags:\s*(\d+)/.exec(sharedState(made().fd))?.[1] ?? '';
    assert.equal(Number.parseInt(flags, 8), constants.O_RDWR | constants.O_NONBLOCK | O_CLOEXEC);
  });

  test('that is a semaphore gives a turn for each ring', async () => {
    const { bell } = received({ isSemaphore: true });
    bell.notify();
    bell.notify();
    const values = bell.values();
    assert.deepEqual([await values.next(), await values.next()], Array(2).fill({ done: false, value: 1n }));
  });

  test('waits on when another process has taken the ring', async () => {
    const { bell, sender } = received();
    const next = bell.values().next();
    await turn();
    bell.notify();
    assert.equal(readSync(sender, Buffer.alloc(8)), 8);
    await turn();
    await turn();
    writeSync(sender, BigUint64Array.of(5n));
    assert.equal((await next).value, 5n);
  });

  test('is taken over: its file counts as released, and what waited for it ends', async () => {
    const file = new ReceivedFile(native.testing.eventFd());
    const { fd } = file;
    const reading = file.read(Buffer.alloc(8));
    const failed = assertFails(reading, 'ERR_GRPCFD_FILE_CLOSED', 'FAILED_PRECONDITION');
    await turn();
    using bell = file.toEventFd();
    await failed;
    assert.equal(file.closed, true);
    assert.notEqual(bell.fd, fd, 'the read was in flight');
    await file.close();
    bell.notify();
    assert.equal((await bell.values().next()).value, 1n);
    assert.throws(() => file.toEventFd(), { reason: 'ERR_GRPCFD_FILE_CLOSED' });
  });

  test('is not made of something else, which stays with its owner', async () => {
    const [out, into] = native.testing.pipe();
    defer(() => closeSync(into));
    for (const fd of [out, fileWith(''), native.memFd('', 1, 0), native.testing.epoll()]) {
      await using file = new ReceivedFile(fd);
      assert.throws(
        () => file.toEventFd(),
        (error) =>
          /of the kind (pipe|file|memfd|epoll) .*but the kind eventfd was expected/.test(
            assertFailure(error, 'ERR_GRPCFD_UNEXPECTED_KIND', 'FAILED_PRECONDITION').details,
          ),
      );
      assert.equal(file.closed, false);
    }
    await using path = new ReceivedFile(native.open(`/proc/self/fd/${made().fd}`, O_PATH, 0));
    assert.equal(path.kind, 'eventfd');
    assert.throws(() => path.toEventFd(), { reason: 'ERR_GRPCFD_PATH_ONLY' });
  });

  test('checks its options', () => {
    const bell = made();
    for (const options of [{ signal: 1 }, { timeoutMs: 1 }, null]) {
      assert.throws(() => bell.values(options as never), { reason: 'ERR_GRPCFD_INVALID_ARGUMENT' });
    }
  });

  test('that is garbage collected unclosed is closed with a warning', async () => {
    const { fd } = (() => ({ fd: createEventFd().fd }))();
    const warned = once(process, 'warning');
    let warning: (Error & { code?: string }) | undefined;
    void warned.then(([each]) => {
      warning = each;
    });
    await collectUntil(() => warning !== undefined);
    assert.equal(warning?.code, 'GRPCFD_UNCLOSED');
    assert.match(warning.message, new RegExp(`^An EventFd \\(fd ${fd}\\)`));
  });

  test('in a worker rings and waits, and the end of the worker closes it', async () => {
    const { bell, sender } = received();
    const answers = received();
    const worker = new Worker(new URL('./fixtures/worker-with-bell.js', import.meta.url), {
      workerData: [sender, answers.sender],
    });
    const values = answers.bell.values();
    for (let round = 0; round < 3; round++) {
      bell.notify();
      assert.equal((await values.next()).value, 1n);
    }
    await worker.terminate();
    bell.notify();
    assert.equal((await bell.values().next()).value, 1n, 'nobody else takes it');
  });

  test('is closed before a worker ends by itself', async () => {
    const worker = new Worker(new URL('./fixtures/worker-with-bell.js', import.meta.url), { workerData: [] });
    assert.deepEqual(await once(worker, 'exit'), [0]);
  });
});

describe('An eventfd, in another process,', () => {
  trackDescriptors();

  const run = (what: string, env: NodeJS.ProcessEnv = {}) =>
    runFixture('./fixtures/bells.js', import.meta.url, [what], env, HANG_MS);
  const passed = { code: 0, signal: null, stderr: '' };

  test('with a counter that somebody has filled up is rung without waiting', async () => {
    assert.deepEqual(await run('full'), { ...passed, stdout: 'passed\n' });
  });

  test('keeps it alive until nobody waits any more', async () => {
    assert.deepEqual(await run('kept-alive'), { ...passed, stdout: 'rung 1\nclosed\n' });
  });

  test('does not keep it alive after unref(), nor by its rings', async () => {
    assert.deepEqual(await run('unref'), { ...passed, stdout: 'rung 1\n' });
  });

  test('keeps it alive again after ref()', async () => {
    assert.deepEqual(await run('ref'), { ...passed, stdout: 'rung 1\nclosed\n' });
  });

  for (const what of ['filled-in-between', 'no-wait', 'io-submit']) {
    test(`does what it can where the kernel does not help: ${what}`, { skip: whyNoFaults() }, async () => {
      const { code, stdout, stderr } = await run(what, { LD_PRELOAD: failingSyscalls() });
      assert.deepEqual([code, stdout], [0, 'passed\n'], stderr);
    });
  }
});
