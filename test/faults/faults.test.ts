/** A part of `npm run test:faults`: the system calls that were found to fail badly once, and some of all others. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sharedCertificates } from '../support/certificates.js';
import { trackDescriptors } from '../support/fd-table.js';
import { temporaryDirectory } from '../support/temporary.js';
import { compileFaultyLibc, whyNoInjection } from './inject.js';
import { ERRORS, failEach, failFirst, type Row } from './matrix.js';
import { BAD } from './plan.js';

const skip = whyNoInjection();
const ALL = [...ERRORS];

const bad = (rows: readonly Row[]): string[] =>
  rows
    .filter(({ outcome }) => BAD.test(outcome))
    .map(({ syscall, error, call, outcome }) => `${syscall} ${error} ${call}: ${outcome}`);

describe('a system call of the addon that fails has an outcome that is documented', { skip }, () => {
  trackDescriptors();

  const some = (scenario: string, syscalls: readonly string[], errors: readonly string[], step: number) =>
    test(`${scenario}: ${syscalls.join(', ')}, with ${errors.join(', ')}`, async () => {
      Object.assign(process.env, await sharedCertificates());
      const sample = { errors, first: 1, step };
      const rows = await failEach(scenario, syscalls, sample, compileFaultyLibc(temporaryDirectory()));
      assert.ok(rows.length >= syscalls.length, 'each has failed');
      assert.deepEqual(bad(rows), []);
    });

  some('calls in plaintext', ['recvmsg', 'sendmsg', 'epoll_ctl', 'accept4'], ['EMFILE'], 5);
  some('calls over TLS', ['recv', 'sendmsg'], ['EIO'], 15);
  // Bytes were lost that had left the FIFO already.
  some('a FIFO', ['read', 'splice', 'pipe2'], ['EINTR', 'EAGAIN'], 1);
  // O_NONBLOCK could not be taken away again.
  some('a directory', ['fcntl', 'openat2'], ['EINTR', 'EIO'], 1);
  some(
    'grpcfd/socket: listen and connect',
    ['socket', 'bind', 'listen', 'connect', 'recvmsg'],
    ['ENOBUFS'],
    1,
  );

  // An accepted connection that could not be used ended the process.
  some('grpcfd/socket: listen and connect', ['getsockopt'], ['EIO'], 1);
  // A socket was told as one that does not listen.
  some('a listener that is taken over', ['getsockopt'], ['EIO'], 1);

  // Its documentation told users to close a socket that had been closed.
  some('a call over a socketpair', ['socketpair', 'fcntl'], ['ENOMEM'], 1);

  for (const [syscall, call] of [
    ['memfd_create', 1],
    ['statx', 1],
  ] as const) {
    for (const error of ALL.slice(0, 1)) {
      // What the kernel could not make once was taken for something that it never makes.
      test(`the first ${syscall} of a process, with ${error}, does no harm later`, async () => {
        const row = await failFirst(
          'shared memory',
          syscall,
          error,
          call,
          compileFaultyLibc(temporaryDirectory()),
        );
        assert.ok(row, 'it has failed');
        assert.deepEqual(bad([row]), []);
      });
    }
  }
});

/** Those that make no system call, or none that fails. */
const HARMLESS =
  /^(dladdr|dlopen|fclose|fgets|geteuid|getpid|inet_ntop|mem\w+|str\w+|snprintf|pthread_(attr|mutex|once|sigmask).*|sigfillset|_.*|napi_.*|node_.*|uv_.*)$/;

test('the library knows each function of the C library that the addon calls', {
  skip: skip || (spawnSync('nm', ['--version']).error !== undefined && 'there is no nm'),
}, () => {
  const path = (name: string) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
  const source = readFileSync(path('test/faults/faulty-libc.c'), 'utf8');
  const { stdout } = spawnSync('nm', ['-D', '--undefined-only', path('native/build/Release/grpcfd.node')], {
    encoding: 'utf8',
  });
  const names = stdout.split('\n').map((line) => line.trim().split(/\s+/).at(-1)?.split('@')[0] ?? '');
  // Of native/testing*.cc alone.
  const ofTests = [
    'cfmakeraw',
    'inotify_init1',
    'posix_openpt',
    'ptsname_r',
    'setrlimit',
    'sigemptyset',
    'signalfd',
  ];
  ofTests.push('tcgetattr', 'tcsetattr', 'timerfd_create', 'unlockpt');
  const unknown = names.filter(
    (name) =>
      name !== '' &&
      !HARMLESS.test(name) &&
      !ofTests.includes(name) &&
      !new RegExp(`\\b${name}\\b`).test(source),
  );
  assert.deepEqual(unknown, []);
});
