/** System calls that really fail, in a process of its own: a library that stands before the C library's. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './temporary.js';

const SOURCE = fileURLToPath(new URL('../../../test/support/failing-syscalls.c', import.meta.url));
const COMPILER = process.env['CC'] ?? 'cc';

/** The reason to skip a test that needs such a process, or false. */
export function whyNoFaults(): string | false {
  return spawnSync(COMPILER, ['--version']).error !== undefined && `there is no C compiler "${COMPILER}"`;
}

/** The library, for LD_PRELOAD, behind those that this process has. The end of the test removes it. */
export function failingSyscalls(): string {
  const library = join(temporaryDirectory(), 'failing-syscalls.so');
  const args = ['-shared', '-fPIC', '-o', library, SOURCE, '-ldl'];
  const { status, stderr } = spawnSync(COMPILER, args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  // Sanitizers come first in a process, or refuse to start.
  return [process.env['LD_PRELOAD'], library].filter(Boolean).join(':');
}

/** In that process: `errno` is what `syscall` fails with while `run` runs, and until what it returns is settled. */
export async function withFault<Result>(
  syscall: 'no-wait' | 'statx' | 'F_GETFL' | 'F_DUPFD' | 'openat2' | 'untyped' | 'io_submit' | 'sendmsg',
  errno: number,
  run: () => Result | Promise<Result>,
): Promise<Result> {
  const failuresBefore = setFault(`${syscall}:${errno}`);
  try {
    return await run();
  } finally {
    assert.ok(setFault('') > failuresBefore, `nothing called ${syscall}`);
  }
}

/** In that process: the next call of `syscall` fails with `errno`. */
export function failNext(syscall: 'openat2', errno: number): void {
  setFault(`${syscall}:${errno}:1`);
}

/** In that process: what happens to a system call from now on, in the form of GRPCFD_FAULT: see failing-syscalls.c. */
export function fault(text: string): void {
  setFault(text);
}

/** In that process: how many calls have failed since it began. */
export function failures(): number {
  return setFault('');
}

function setFault(fault: string): number {
  process.env['GRPCFD_FAULT'] = fault;
  return Number(process.env['GRPCFD_FAILURES']);
}
