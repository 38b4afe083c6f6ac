// For LD_PRELOAD. It stands between the addon and the C library: one system call of the addon, chosen by name, errno and number, fails. What
// Node.js, V8 and libuv call goes through untouched: the return address tells who calls.
//
// The environment is the way in and out. GRPCFD_INJECT=recvmsg:12:3 has the third call of recvmsg from then on fail with errno 12. An empty
// value ends that. Each change of it first writes GRPCFD_CALLS: the calls since the last change, as "close=3 recvmsg=7 hit=0x1a2b@3f0". `hit`
// tells that the chosen call was made, and from where in the addon. GRPCFD_INJECT=pause leaves out what comes until GRPCFD_INJECT=resume.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

// Those whose failure is -1 and errno.
#define PLAIN(X)                                                                                                              \
  X(accept4) X(bind) X(chmod) X(connect) X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(eventfd) X(fchmod) X(fchownat)          \
  X(dup3) X(fcntl) X(flock) X(fstat) X(fstatat) X(fstatfs) X(getpeername) X(getrandom) X(getrlimit) X(getsockname) X(getsockopt)       \
  X(ioctl) X(listen) X(lseek) X(lstat) X(madvise) X(memfd_create) X(ftruncate) X(mprotect) X(munmap) X(open) X(openat)         \
  X(pipe2) X(poll) X(read) X(readlink) X(recv) X(recvmsg) X(send) X(sendmsg) X(setsockopt) X(shutdown) X(socket)                \
  X(socketpair) X(splice) X(unlink) X(usleep) X(write)

// Those that the addon makes through syscall().
#define NUMBERED(X)                                                                                                           \
  X(statx, 332, 291) X(preadv2, 327, 286) X(pwritev2, 328, 287) X(getdents64, 217, 61) X(io_setup, 206, 0)                      \
  X(io_submit, 209, 2) X(io_getevents, 208, 4) X(pidfd_open, 434, 434) X(openat2, 437, 437)

enum {
#define X(name) ID_##name,
  PLAIN(X)
#undef X
#define X(name, x64, arm64) ID_##name,
  NUMBERED(X)
#undef X
  ID_close, ID_mmap, ID_fopen, ID_pthread_create, IDS
};

static const char* const names[] = {
#define X(name) #name,
    PLAIN(X)
#undef X
#define X(name, x64, arm64) #name,
    NUMBERED(X)
#undef X
    "close", "mmap", "fopen", "pthread_create"};

static atomic_int calls[IDS];
static atomic_int chosen = -1;
static atomic_int error_number;
static atomic_int left;
static atomic_long hit;
static atomic_int paused;

static int is_addon(const void* caller, const char** base) {
  Dl_info info;
  if (dladdr(caller, &info) == 0 || info.dli_fname == NULL) return 0;
  const size_t length = strlen(info.dli_fname);
  if (length < 11 || strcmp(info.dli_fname + length - 11, "grpcfd.node") != 0) return 0;
  *base = info.dli_fbase;
  return 1;
}

// The errno that this call has to fail with, or 0.
static int fails(int id, const void* caller) {
  const char* base = NULL;
  if (id < 0 || atomic_load(&paused) || !is_addon(caller, &base)) return 0;
  atomic_fetch_add(&calls[id], 1);
  if (atomic_load(&chosen) != id || atomic_fetch_sub(&left, 1) != 1) return 0;
  atomic_store(&hit, (const char*)caller - base);
  return atomic_load(&error_number);
}

static void choose(const char* value) {
  char name[32] = "";
  int number = 0;
  int which = 0;
  sscanf(value, "%31[^:]:%d:%d", name, &number, &which);
  atomic_store(&chosen, -1);
  atomic_store(&hit, 0);
  for (int id = 0; id < IDS; id++) atomic_store(&calls[id], 0);
  atomic_store(&error_number, number);
  atomic_store(&left, which);
  for (int id = 0; id < IDS; id++) {
    if (strcmp(name, names[id]) == 0) atomic_store(&chosen, id);
  }
}

static void report(char* text, size_t size) {
  size_t used = 0;
  text[0] = 0;
  for (int id = 0; id < IDS; id++) {
    const int count = atomic_load(&calls[id]);
    if (count > 0) used += (size_t)snprintf(text + used, size - used, "%s=%d ", names[id], count);
  }
  const long at = atomic_load(&hit);
  if (at != 0) snprintf(text + used, size - used, "hit=0x%lx ", at);
}

int setenv(const char* name, const char* value, int overwrite) {
  static int (*real)(const char*, const char*, int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "setenv");
  if (strcmp(name, "GRPCFD_INJECT") != 0) return real(name, value, overwrite);
  const int pauses = strcmp(value, "pause") == 0;
  if (pauses || strcmp(value, "resume") == 0) {
    atomic_store(&paused, pauses);
    return 0;
  }
  char text[4096];
  report(text, sizeof(text));
  choose(value);
  return real("GRPCFD_CALLS", text, 1);
}

// All arguments are integers or pointers. They travel alike, whether the function has three of them or six, or any number.
typedef long (*Call)(long, long, long, long, long, long);

#define X(name)                                                                                \
  long wrapped_##name(long, long, long, long, long, long) __asm__(#name);                       \
  long wrapped_##name(long a, long b, long c, long d, long e, long f) {                         \
    static Call real;                                                                          \
    if (real == NULL) real = (Call)dlsym(RTLD_NEXT, #name);                                     \
    const int error = fails(ID_##name, __builtin_return_address(0));                            \
    if (error == 0) return real(a, b, c, d, e, f);                                              \
    errno = error;                                                                             \
    return -1;                                                                                 \
  }
PLAIN(X)
#undef X

// The kernel lets go of the number whatever close() answers.
int close(int fd) {
  static int (*real)(int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "close");
  const int error = fails(ID_close, __builtin_return_address(0));
  const int result = real(fd);
  if (error == 0) return result;
  errno = error;
  return -1;
}

void* mmap(void* address, size_t length, int protection, int flags, int fd, long offset) {
  static void* (*real)(void*, size_t, int, int, int, long);
  if (real == NULL) real = dlsym(RTLD_NEXT, "mmap");
  const int error = fails(ID_mmap, __builtin_return_address(0));
  if (error == 0) return real(address, length, protection, flags, fd, offset);
  errno = error;
  return (void*)-1;
}

FILE* fopen(const char* path, const char* mode) {
  static FILE* (*real)(const char*, const char*);
  if (real == NULL) real = dlsym(RTLD_NEXT, "fopen");
  const int error = fails(ID_fopen, __builtin_return_address(0));
  if (error == 0) return real(path, mode);
  errno = error;
  return NULL;
}

int pthread_create(unsigned long* thread, const void* attributes, void* (*run)(void*), void* data) {
  static int (*real)(unsigned long*, const void*, void* (*)(void*), void*);
  if (real == NULL) real = dlsym(RTLD_NEXT, "pthread_create");
  const int error = fails(ID_pthread_create, __builtin_return_address(0));
  return error == 0 ? real(thread, attributes, run, data) : error;
}

static int id_of(long number) {
#if defined(__x86_64__)
#define X(name, x64, arm64) if (number == x64) return ID_##name;
#else
#define X(name, x64, arm64) if (number == arm64) return ID_##name;
#endif
  NUMBERED(X)
#undef X
  return -1;
}

long syscall(long number, long a, long b, long c, long d, long e, long f) {
  static long (*real)(long, long, long, long, long, long, long);
  if (real == NULL) real = dlsym(RTLD_NEXT, "syscall");
  const int error = fails(id_of(number), __builtin_return_address(0));
  if (error == 0) return real(number, a, b, c, d, e, f);
  errno = error;
  return -1;
}
