/** A library for LD_PRELOAD with which sendmsg fails when the process says so. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './temporary.js';

// The environment of the process is read each time: setenv has reached it when process.env was set in the main thread.
const SOURCE = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  static ssize_t (*real)(int, const struct msghdr*, int);
  if (!real) real = dlsym(RTLD_NEXT, "sendmsg");
  const char* plan = getenv("FAILING_SENDMSG");
  int number = -1, error = 0, times = 0;
  if (plan && sscanf(plan, "%d %d %d", &number, &error, &times) == 3 && number == fd && times > 0) {
    char rest[64];
    snprintf(rest, sizeof rest, "%d %d %d", number, error, times - 1);
    setenv("FAILING_SENDMSG", rest, 1);
    errno = error;
    return -1;
  }
  return real(fd, message, flags);
}
`;

/** What LD_PRELOAD has to be. The end of the test removes the library. undefined without a C compiler. */
export function failingSendmsg(): string | undefined {
  const directory = temporaryDirectory();
  const source = join(directory, 'failing-sendmsg.c');
  const library = join(directory, 'failing-sendmsg.so');
  writeFileSync(source, SOURCE);
  const { status } = spawnSync('cc', ['-shared', '-fPIC', '-o', library, source, '-ldl'], {
    stdio: 'inherit',
  });
  if (status !== 0) return undefined;
  // A sanitizer has to come first: see scripts/test-sanitizers.mjs.
  const { LD_PRELOAD } = process.env;
  return LD_PRELOAD ? `${LD_PRELOAD}:${library}` : library;
}
