import assert from 'node:assert/strict';
import type { GrpcFdError } from '#src/errors.js';
import type { CallScope } from '#src/inbox/call-scope.js';
import type { Clock } from '#src/inbox/clock.js';
import type { Claims } from '#src/inbox/held.js';
import type { DescriptorOperations } from '#src/inbox/held-descriptors.js';
import { Inbox } from '#src/inbox/inbox.js';
import { type InboxLimits, resolveLimits } from '#src/inbox/limits.js';
import type { Arrival, ClaimEntry, InodeName, SequenceName } from '#src/inbox/names.js';
import type { Waiter } from '#src/inbox/waits.js';

/**
 * A table of open files in plain numbers. No number is used twice, so that a second close is noticed.
 */
export class FakeTable implements DescriptorOperations {
  /** The file behind each open number. */
  readonly files = new Map<number, string>();
  /** Makes the next calls of `duplicate` throw. */
  failures = 0;
  #last = 100;

  open(file: string): number {
    this.#last++;
    this.files.set(this.#last, file);
    return this.#last;
  }

  /** A newly received descriptor of an inode. */
  arrival(file: string, ino: number): Arrival {
    return { fd: this.open(file), inode: `7/${ino}` };
  }

  duplicate(fd: number): number {
    const file = this.files.get(fd);
    assert.ok(file !== undefined, `fd ${fd} was duplicated when it was not open`);
    if (this.failures > 0) {
      this.failures--;
      throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
    }
    return this.open(file);
  }

  close(fd: number): void {
    assert.ok(this.files.delete(fd), `fd ${fd} was closed when it was not open`);
  }

  closeAll(fds: readonly number[]): void {
    for (const fd of fds) this.close(fd);
  }

  /** The open files, in the order of their numbers. */
  get openFiles(): string[] {
    return [...this.files.values()];
  }
}

/** A clock that only the test moves. */
export class FakeClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ run: () => void; at: number }>();

  get timers(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#now;
  }

  schedule(run: () => void, delayMs: number): () => void {
    assert.ok(delayMs >= 1 && delayMs <= 2 ** 31 - 1, `a timer of ${delayMs} ms`);
    const timer = { run, at: this.#now + delayMs };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [due] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = due.at;
      due.run();
    }
    this.#now = end;
  }
}

/** Records the calls that it gets. */
export class RecordingWaiter implements Waiter {
  readonly fds: number[] = [];
  readonly errors: GrpcFdError[] = [];

  constructor(readonly then: () => void = () => {}) {}

  arrived(fd: number): void {
    this.fds.push(fd);
    this.then();
  }

  failed(error: GrpcFdError): void {
    this.errors.push(error);
    this.then();
  }

  get settlements(): number {
    return this.fds.length + this.errors.length;
  }

  get reason(): string | undefined {
    return this.errors[0]?.reason;
  }
}

export function inode(ino: number): InodeName {
  return { kind: 'inode', inode: `7/${ino}` };
}

/** An exact name, or an entry of a claim. */
export function sequence(number: number, ino: number): SequenceName & ClaimEntry {
  return { kind: 'sequence', sequence: number, inode: `7/${ino}` };
}

/** An error of this package. The tests compare the object, not its text. */
export function someError(): GrpcFdError {
  try {
    resolveLimits({ holdMs: -1 });
  } catch (error) {
    return error as GrpcFdError;
  }
  return assert.fail('unreachable');
}

/** The names of what a call claimed, in the order of its claims. */
export function claimed(scope: CallScope): SequenceName[] {
  // Marked @internal, so its type is not declared.
  const claims: Claims | undefined = Reflect.get(scope, 'claims');
  return (claims?.inOrder ?? []).map(({ sequence, inode }) => ({ kind: 'sequence', sequence, inode }));
}

/** An inbox. `arrive` gives it files by their names, and `take` receives one, closes it, and tells its name. */
export function setUp(limits: Partial<InboxLimits> = {}) {
  const table = new FakeTable();
  const clock = new FakeClock();
  const inbox = new Inbox(table, resolveLimits(limits), clock);
  const arrive = (...files: [file: string, ino: number][]): void => {
    inbox.arrive(files.map(([file, ino]) => table.arrival(file, ino)));
  };
  const take = (...args: Parameters<Inbox['take']>): string | undefined => {
    const fd = inbox.take(...args);
    if (fd === undefined) return undefined;
    const file = table.files.get(fd);
    table.close(fd);
    return file;
  };
  return { table, clock, inbox, arrive, take };
}

/** What assert.throws compares an error with. */
export const reason = (expected: string, details = /./) => ({
  name: 'GrpcFdError',
  reason: expected,
  details,
});
