/** One open descriptor of each kind, which the caller closes. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileKind } from 'grpcfd';
import { native, O_PATH } from '#src/native/binding.js';
import { fileWith, temporaryDirectory } from './temporary.js';

const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_NOFOLLOW } = constants;
const MFD_HUGETLB = 0x4;
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

export interface Specimen {
  readonly what: string;
  readonly kind: FileKind;
  readonly access: 'read' | 'write' | 'readwrite' | 'path';
  readonly open: () => number;
}

const open = (path: string, flags: number) => native.open(path, flags, 0);
const first = ([kept, other]: [number, number]): number => {
  closeSync(other);
  return kept;
};
const second = ([other, kept]: [number, number]): number => first([kept, other]);

function reopened(fd: number, flags: number): number {
  try {
    return open(`/proc/self/fd/${fd}`, flags);
  } finally {
    closeSync(fd);
  }
}

export const SPECIMENS: readonly Specimen[] = [
  { what: 'a file', kind: 'file', access: 'readwrite', open: () => fileWith('') },
  { what: 'a file to read', kind: 'file', access: 'read', open: () => reopened(fileWith(''), O_RDONLY) },
  { what: 'a file to write', kind: 'file', access: 'write', open: () => reopened(fileWith(''), O_WRONLY) },
  { what: 'an O_PATH of a file', kind: 'file', access: 'path', open: () => open('/proc/version', O_PATH) },
  { what: 'a directory', kind: 'directory', access: 'read', open: () => openSync(tmpdir(), 'r') },
  {
    what: 'a symlink',
    kind: 'symlink',
    access: 'path',
    open: () => open('/proc/self/exe', O_PATH | O_NOFOLLOW),
  },
  { what: 'a pipe to read', kind: 'pipe', access: 'read', open: () => first(native.testing.pipe()) },
  { what: 'a pipe to write', kind: 'pipe', access: 'write', open: () => second(native.testing.pipe()) },
  {
    what: 'a FIFO',
    kind: 'pipe',
    access: 'readwrite',
    open: () => {
      const path = join(temporaryDirectory(), 'fifo');
      execFileSync('mkfifo', [path]);
      return openSync(path, 'r+');
    },
  },
  { what: 'a socket', kind: 'socket', access: 'readwrite', open: () => first(native.socketPair()) },
  {
    what: 'a socket file',
    kind: 'socket',
    access: 'path',
    open: () => {
      const path = join(temporaryDirectory(), 'socket');
      closeSync(native.bindUnix(Buffer.from(path)));
      return open(path, O_PATH);
    },
  },
  { what: 'a memfd', kind: 'memfd', access: 'readwrite', open: () => native.memFd('', 1, 0) },
  {
    what: 'a memfd of huge pages',
    kind: 'memfd',
    access: 'readwrite',
    open: () => native.memFd('', 0, MFD_HUGETLB),
  },
  {
    what: 'a memfd of huge pages of 1 GiB',
    kind: 'memfd',
    access: 'readwrite',
    open: () => native.memFd('', 0, MFD_HUGETLB | (30 << 26)),
  },
  {
    what: 'a memfd opened anew',
    kind: 'memfd',
    access: 'read',
    open: () => reopened(native.memFd('', 1, 0), O_RDONLY),
  },
  { what: 'an eventfd', kind: 'eventfd', access: 'readwrite', open: () => native.testing.eventFd() },
  { what: 'an epoll', kind: 'epoll', access: 'readwrite', open: () => native.testing.epoll() },
  { what: 'a timerfd', kind: 'timerfd', access: 'readwrite', open: () => native.testing.timerFd() },
  { what: 'a signalfd', kind: 'signalfd', access: 'readwrite', open: () => native.testing.signalFd() },
  { what: 'an inotify', kind: 'inotify', access: 'read', open: () => native.testing.inotify() },
  { what: 'a pidfd', kind: 'pidfd', access: 'readwrite', open: () => native.testing.pidFd() },
  { what: 'a namespace', kind: 'namespace', access: 'read', open: () => open('/proc/self/ns/net', O_RDONLY) },
  {
    what: 'an O_PATH of a namespace',
    kind: 'namespace',
    access: 'path',
    open: () => open('/proc/self/ns/mnt', O_PATH),
  },
  {
    what: 'the slave of a pty',
    kind: 'tty',
    access: 'readwrite',
    open: () => second(native.testing.terminal()),
  },
  {
    what: 'the master of a pty',
    kind: 'tty',
    access: 'readwrite',
    open: () => first(native.testing.terminal()),
  },
  { what: '/dev/null', kind: 'device', access: 'write', open: () => open('/dev/null', O_WRONLY) },
  { what: '/dev/zero', kind: 'device', access: 'readwrite', open: () => open('/dev/zero', O_RDWR) },
];

/** Not what its name or its content says. */
export const FORGERIES: readonly Specimen[] = [
  ...['anon_inode:[eventfd]', 'anon_inode:inotify', 'memfd:x (deleted)', 'net:[4026531833]'].map(
    (name): Specimen => ({
      what: `a file with the name "${name}"`,
      kind: 'file',
      access: 'readwrite',
      open: () => openSync(join(temporaryDirectory(), name), 'w+'),
    }),
  ),
  {
    what: 'a file of /dev/shm, which can be sealed like memory',
    kind: 'file',
    access: 'readwrite',
    open: () => open('/dev/shm', O_RDWR | O_TMPFILE),
  },
];

/** Opened with O_APPEND. */
export function appending(): number {
  return reopened(fileWith(''), O_WRONLY | O_APPEND);
}
