// For LD_PRELOAD: a system call that fails for as long as the environment says so, as GRPCFD_FAULT=statx:5 (a name below, an errno), or so
// many times, as GRPCFD_FAULT=sendmsg:5:1. With the errno -1 the process is killed instead, before the call. With bind:-2 the call
// succeeds, and then a link to "victim" takes the place of the socket file. With untyped:0, directories do not tell the types of their
// entries. With seccomp:1, openat2 fails with that errno from then on, in all threads that are made afterwards: a real filter does it. With
// poll:-2 the call succeeds, and then the counter of the eventfd that it asked about is filled up.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { NONE, NO_WAIT, STATX, GET_FLAGS, DUPLICATE, SENDMSG, LINK, BIND, FCHMOD, CHMOD, FCHOWNAT, LISTEN, UNLINK, FLOCK, OPENAT2, UNTYPED, IO_SUBMIT, POLL };

static const char* const names[] = {"",     "no-wait", "statx",    "F_GETFL", "F_DUPFD", "sendmsg", "link",
                                    "bind", "fchmod",  "chmod", "fchownat", "listen",  "unlink",  "flock",   "openat2", "untyped",
                                    "io_submit", "poll"};

enum { KILL = -1, SWAP = -2 };

// Not in the headers of every system.
enum { OPENAT2_NUMBER = 437 };

static atomic_int fault = NONE;
static atomic_int fault_errno = 0;
static atomic_int times_left = 0;
// Failures so far, as the test can read them: a fault that nothing meets proves nothing.
static atomic_int failures = 0;

static int fails(int which) {
  if (atomic_load(&fault) != which || atomic_fetch_sub(&times_left, 1) <= 0) return 0;
  atomic_fetch_add(&failures, 1);
  errno = atomic_load(&fault_errno);
  if (errno == KILL) kill(getpid(), SIGKILL);
  return 1;
}

static void filter(int error) {
  struct sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OPENAT2_NUMBER, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof(steps) / sizeof(steps[0]), steps};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) abort();
}

// Not getenv() in each call: other threads make them, too, while the environment changes.
static void choose(const char* value) {
  char name[20] = "";
  int number = 0;
  int times = INT_MAX;
  sscanf(value, "%19[^:]:%d:%d", name, &number, &times);
  if (strcmp(name, "seccomp") == 0) filter(number);
  atomic_store(&fault_errno, number);
  atomic_store(&times_left, times);
  int chosen = NONE;
  for (int i = 1; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
    if (strcmp(name, names[i]) == 0) chosen = i;
  }
  atomic_store(&fault, chosen);
}

int setenv(const char* name, const char* value, int overwrite) {
  static int (*real)(const char*, const char*, int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "setenv");
  if (strcmp(name, "GRPCFD_FAULT") == 0) {
    choose(value);
    char count[20];
    snprintf(count, sizeof(count), "%d", atomic_load(&failures));
    return real("GRPCFD_FAILURES", count, 1);
  }
  return real(name, value, overwrite);
}

// By path, as loaders of code do, it goes on.
static int is_of_descriptor(const char* path) { return path != NULL && path[0] == '\0'; }

// In each entry, its length is at 16, and its type at 18.
static void forget_types(char* entries, long size) {
  for (long at = 0; at < size;) {
    uint16_t length;
    memcpy(&length, entries + at + 16, sizeof(length));
    entries[at + 18] = 0;
    at += length;
  }
}

// Of libuv, for which not every C library has a function.
long syscall(long number, ...) {
  static long (*real)(long, ...);
  if (real == NULL) real = dlsym(RTLD_NEXT, "syscall");
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_statx && is_of_descriptor((const char*)a[1]) && fails(STATX)) return -1;
  if ((number == SYS_preadv2 || number == SYS_pwritev2) && fails(NO_WAIT)) return -1;
  if ((number == SYS_io_setup || number == SYS_io_submit) && fails(IO_SUBMIT)) return -1;
  if (number == OPENAT2_NUMBER && fails(OPENAT2)) return -1;
  const long result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (number == SYS_getdents64 && result > 0 && fails(UNTYPED)) forget_types((char*)a[1], result);
  return result;
}

ssize_t splice(int from, off_t* from_offset, int to, off_t* to_offset, size_t length, unsigned int flags) {
  static ssize_t (*real)(int, off_t*, int, off_t*, size_t, unsigned int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "splice");
  return fails(NO_WAIT) ? -1 : real(from, from_offset, to, to_offset, length, flags);
}

int statx(int directory, const char* restrict path, int flags, unsigned int mask, struct statx* restrict result) {
  static int (*real)(int, const char*, int, unsigned int, struct statx*);
  if (real == NULL) real = dlsym(RTLD_NEXT, "statx");
  if (is_of_descriptor(path) && fails(STATX)) return -1;
  return real(directory, path, flags, mask, result);
}

ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  static ssize_t (*real)(int, const struct msghdr*, int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "sendmsg");
  return fails(SENDMSG) ? -1 : real(fd, message, flags);
}

int bind(int fd, const struct sockaddr* address, socklen_t size) {
  static int (*real)(int, const struct sockaddr*, socklen_t);
  if (real == NULL) real = dlsym(RTLD_NEXT, "bind");
  const int swap = atomic_load(&fault_errno) == SWAP;
  if (!swap) return fails(BIND) ? -1 : real(fd, address, size);
  const int result = real(fd, address, size);
  const char* path = ((const struct sockaddr_un*)address)->sun_path;
  if (result == 0 && fails(BIND)) {
    unlink(path);
    if (symlink("victim", path) != 0) abort();
  }
  return result;
}

int poll(struct pollfd* fds, nfds_t count, int timeout) {
  static int (*real)(struct pollfd*, nfds_t, int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "poll");
  const int result = real(fds, count, timeout);
  const uint64_t most = UINT64_MAX - 1;
  if (count == 1 && fds[0].events == POLLOUT && fails(POLL) && write(fds[0].fd, &most, sizeof(most)) != sizeof(most)) abort();
  return result;
}

#define INTERPOSE(which, name, parameters, arguments)       \
  int name parameters {                                     \
    static int(*real) parameters;                           \
    if (real == NULL) real = dlsym(RTLD_NEXT, #name);       \
    return fails(which) ? -1 : real arguments;              \
  }

INTERPOSE(LINK, link, (const char* from, const char* to), (from, to))
INTERPOSE(FCHMOD, fchmod, (int fd, mode_t mode), (fd, mode))
INTERPOSE(CHMOD, chmod, (const char* path, mode_t mode), (path, mode))
INTERPOSE(FCHOWNAT, fchownat, (int fd, const char* path, uid_t uid, gid_t gid, int flags), (fd, path, uid, gid, flags))
INTERPOSE(LISTEN, listen, (int fd, int backlog), (fd, backlog))
INTERPOSE(UNLINK, unlink, (const char* path), (path))
INTERPOSE(FLOCK, flock, (int fd, int operation), (fd, operation))

static int control(const char* symbol, int fd, int command, void* argument) {
  int (*real)(int, int, ...) = dlsym(RTLD_NEXT, symbol);
  if (command == F_GETFL && fails(GET_FLAGS)) return -1;
  if (command == F_DUPFD_CLOEXEC && fails(DUPLICATE)) return -1;
  return real(fd, command, argument);
}

int fcntl(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  void* argument = va_arg(list, void*);
  va_end(list);
  return control("fcntl", fd, command, argument);
}

#ifdef __GLIBC__
int fcntl64(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  void* argument = va_arg(list, void*);
  va_end(list);
  return control("fcntl64", fd, command, argument);
}
#endif
