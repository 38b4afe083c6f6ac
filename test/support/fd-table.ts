/** A hook that fails a test after which this process has other open descriptors than before. */
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

/** The target of each descriptor number, as in `/proc/self/fd`. */
export type DescriptorTable = ReadonlyMap<number, string>;

/**
 * Without the list of mounts, which the addon keeps open while there is a connection, and without the certificates that a thread of Node.js
 * 26 reads at some time.
 */
export function descriptorTable(): DescriptorTable {
  return new Map(
    [...openDescriptors()].filter(([, target]) => !MOUNTS.test(target) && target !== CERTIFICATES),
  );
}

const MOUNTS = /^\/proc\/\d+\/mountinfo$/;
const CERTIFICATES = process.env['NODE_EXTRA_CA_CERTS'];
/** glibc opens this file for a moment when it gives memory of a thread back for the first time. */
const ASKED_BY_GLIBC = '/proc/sys/vm/overcommit_memory';

export function openDescriptors(): DescriptorTable {
  const table = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      if (target !== ASKED_BY_GLIBC) table.set(Number(name), target);
    } catch {
      // The descriptor that read the directory.
    }
  }
  return table;
}

/** A thread may close a large file that is removed, and a busy disk takes seconds for that. */
const PATIENCE_MS = 10_000;

/**
 * Waits until the table is as it was, because much is closed in later turns of the event loop, and fails if
 * it never is.
 */
export async function assertSameDescriptors(
  before: DescriptorTable,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const difference = compare(before, descriptorTable());
    if (difference === '') return;
    if (Date.now() > deadline) assert.fail(difference);
    globalThis.gc?.();
    await delay(2);
  }
}

let hasSettled = false;

/**
 * The table when nothing changes it any more: threads close some of what was open before. What the imports of a test file have begun takes
 * longer.
 */
export async function settledTable(): Promise<DescriptorTable> {
  const calmMs = hasSettled ? 0 : 50;
  hasSettled = true;
  const deadline = Date.now() + PATIENCE_MS;
  let table = descriptorTable();
  let changedAt = Date.now();
  for (;;) {
    await delay(1);
    const later = descriptorTable();
    const now = Date.now();
    if (compare(table, later) !== '') changedAt = now;
    else if (now - changedAt >= calmMs) return later;
    if (now > deadline) return later;
    table = later;
  }
}

/** Call this at the top of a test file, or in a suite. Tests tidy up with {@link defer}. */
export function trackDescriptors(): void {
  let before: DescriptorTable;
  beforeEach(async () => {
    before = await settledTable();
  });
  afterEach(async () => {
    await cleanUp();
    await assertSameDescriptors(before);
  });
}

const deferred: (() => unknown)[] = [];

/** Runs what was given to {@link defer}, the last one first. For a process that runs no tests. */
export async function cleanUp(): Promise<void> {
  for (const step of deferred.splice(0).reverse()) await step();
}

/** Runs `step` at the end of the test, the last one first, before the comparison. `t.after` would run after the comparison. */
export function defer(step: () => unknown): void {
  deferred.push(step);
}

function compare(before: DescriptorTable, after: DescriptorTable): string {
  const lines: string[] = [];
  for (const [fd, target] of after) {
    if (before.get(fd) !== target) lines.push(`leaked: ${fd} -> ${target}`);
  }
  for (const [fd, target] of before) {
    if (!after.has(fd)) lines.push(`closed, and not the test's to close: ${fd} -> ${target}`);
  }
  return lines.join('\n');
}
