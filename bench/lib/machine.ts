import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly arch: string;
  readonly kernel: string;
  readonly node: string;
  readonly grpcJs: string;
  readonly grpcfd: string;
  /** The day of the run, as YYYY-MM-DD. */
  readonly date: string;
  /** The load average of the last minute before the first run: how busy the machine was with other work. */
  readonly load: number;
}

export function describeMachine(): Machine {
  const require = createRequire(import.meta.url);
  const versionOf = (path: string): string => JSON.parse(readFileSync(path, 'utf8')).version;
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    arch: arch(),
    kernel: release(),
    node: process.version,
    grpcJs: versionOf(require.resolve('@grpc/grpc-js/package.json')),
    grpcfd: versionOf(require.resolve('grpcfd/package.json')),
    date: new Date().toISOString().slice(0, 10),
    load: loadOfLastMinute(),
  };
}

export function loadOfLastMinute(): number {
  return loadavg()[0] ?? 0;
}
