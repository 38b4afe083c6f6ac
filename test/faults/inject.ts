/** A process in which one system call of the addon fails: see faulty-libc.c. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../../../test/faults/faulty-libc.c', import.meta.url));
const COMPILER = process.env['CC'] ?? 'cc';

/** The reason why there can be none, or false. */
export function whyNoInjection(): string | false {
  if (process.arch !== 'x64' && process.arch !== 'arm64')
    return `the library is not made for ${process.arch}`;
  const { report } = process;
  const header = (report.getReport() as { header?: { glibcVersionRuntime?: string } }).header;
  if (header?.glibcVersionRuntime === undefined) return 'the C library is not glibc';
  return spawnSync(COMPILER, ['--version']).error !== undefined && `there is no C compiler "${COMPILER}"`;
}

/** Compiles the library for LD_PRELOAD in `directory`. Returns its path. */
export function compileFaultyLibc(directory: string): string {
  const library = join(directory, 'faulty-libc.so');
  const args = [
    '-shared',
    '-fPIC',
    '-O1',
    '-fno-builtin',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-o',
    library,
    SOURCE,
  ];
  const { status, stderr } = spawnSync(COMPILER, [...args, '-ldl'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return library;
}

/** One call that fails: the `call`-th of `syscall`, counted from now on, with `errno`. */
export interface Injection {
  readonly syscall: string;
  readonly errno: number;
  readonly call: number;
}

export interface Calls {
  /** How many calls of each system call the addon has made. */
  readonly counts: ReadonlyMap<string, number>;
  /** Where in the addon the call returns to that has failed. Undefined if there was none. */
  readonly hit: string | undefined;
}

/** In that process: counts the calls of the addon, and has one of them fail, until {@link endInjection}. */
export function beginInjection(injection?: Injection): void {
  process.env['GRPCFD_INJECT'] =
    injection === undefined ? 'none:0:0' : `${injection.syscall}:${injection.errno}:${injection.call}`;
}

export function endInjection(): Calls {
  process.env['GRPCFD_INJECT'] = '';
  const counts = new Map<string, number>();
  let hit: string | undefined;
  for (const word of (process.env['GRPCFD_CALLS'] ?? '').split(' ')) {
    const [name = '', value = ''] = word.split('=');
    if (name === 'hit') hit = value;
    else if (name !== '') counts.set(name, Number(value));
  }
  return { counts, hit };
}
