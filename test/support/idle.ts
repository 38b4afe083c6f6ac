/** Pairs of connected ends that block, as `pipe(2)` and others make them. The caller closes both descriptors. */
import { execFileSync } from 'node:child_process';
import { constants, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '#src/native/binding.js';
import { temporaryDirectory } from './temporary.js';

export interface Ends {
  readonly out: number;
  readonly into: number;
}

function blocking(...fds: [number, number]): Ends {
  for (const fd of fds) native.setNonBlocking(fd, false);
  for (const fd of fds) native.unguard(fd);
  return { out: fds[0], into: fds[1] };
}

export function newFifo(): string {
  const path = join(temporaryDirectory(), 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

export const IDLE: Readonly<Record<string, () => Ends>> = {
  pipe: () => blocking(...native.testing.pipe()),
  socket: () => blocking(...native.socketPair()),
  FIFO: () => {
    const path = newFifo();
    const out = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return blocking(out, openSync(path, 'w'));
  },
  'slave of a pty': () => {
    const [master, slave] = native.testing.terminal();
    return { out: slave, into: master };
  },
};

/** The status flags and the offset of the open file, which all who have it share. */
export function sharedState(fd: number): string {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  return (/^pos:.*\nflags:.*$/m.exec(info) ?? [''])[0];
}

/** Whether O_NONBLOCK is set, as all who share the open file see it. */
export function isNonBlocking(fd: number): boolean {
  const flags = /^flags:\s*(\d+)/m.exec(sharedState(fd))?.[1] ?? '';
  return (Number.parseInt(flags, 8) & constants.O_NONBLOCK) !== 0;
}
