// Reads and writes of pipes, sockets and the like that never wait, also where the open file is blocking. O_NONBLOCK would do that,
// but it belongs to the open file, which others share.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
#include "ready-set.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// WAY in src/native/types.ts.
enum Way {
  kOwn,     // The open file is non-blocking, and nobody else can change that.
  kNoWait,  // RWF_NOWAIT
  kSocket,  // MSG_DONTWAIT
  kPipe,    // RWF_NOWAIT, or splice where a pipe does not have it. Of other files, splice may wait.
};

constexpr int kNoWaitFlag = 0x8;  // RWF_NOWAIT

// The functions that this file needs are newer than some C libraries.
long VectorCall(long number, int fd, const Bytes& bytes) {
  const iovec vector = {bytes.data, bytes.size};
  // The position -1, in two halves: the offset of the file, where it has one.
  return syscall(number, fd, &vector, 1, -1L, 0L, kNoWaitFlag);
}

// A pipe that carries bytes between a buffer and another pipe: only splice() between pipes can be told not to wait.
class Detour {
 public:
  Detour() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
      error_ = errno;
      return;
    }
    out_ = OwnFd(ends[0]);
    into_ = OwnFd(ends[1]);
  }

  // These return what read() and write() do.
  ssize_t Read(int pipe, const Bytes& bytes) {
    if (error_ != 0) return Fail(error_);
    const ssize_t moved = splice(pipe, nullptr, into_.Get(), nullptr, bytes.size, SPLICE_F_NONBLOCK);
    if (moved <= 0) return moved;
    // The bytes are nowhere else any more.
    ssize_t done = -1;
    do {
      done = read(out_.Get(), bytes.data, static_cast<size_t>(moved));
    } while (done < 0 && (errno == EINTR || errno == EAGAIN));
    return done;
  }

  ssize_t Write(int pipe, const Bytes& bytes) {
    if (error_ != 0) return Fail(error_);
    const ssize_t taken = write(into_.Get(), bytes.data, bytes.size);
    return taken <= 0 ? taken : splice(out_.Get(), nullptr, pipe, nullptr, static_cast<size_t>(taken), SPLICE_F_NONBLOCK);
  }

 private:
  static ssize_t Fail(int error) {
    errno = error;
    return -1;
  }

  OwnFd out_;
  OwnFd into_;
  int error_ = 0;
};

// Files of this kind cannot do it, or this kernel, or a sandbox forbids it.
bool IsUnsupported() { return errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM; }

template <typename Fallback>
ssize_t NoWait(long number, int fd, const Bytes& bytes, Fallback fallback) {
  ssize_t done = VectorCall(number, fd, bytes);
  if (done >= 0 || !IsUnsupported()) return done;
  done = fallback();
  // EINVAL: it is not a pipe.
  if (done < 0 && (IsUnsupported() || errno == EINVAL)) errno = EOPNOTSUPP;
  return done;
}

// The open file is non-blocking. But whoever else has it, against what the user said, may have cleared the flag since.
bool IsReady(int fd, short events) {
  pollfd state = {fd, events, 0};
  const int count = poll(&state, 1, 0);
  if (count == 0) errno = EAGAIN;
  return count > 0;
}

ssize_t ReadOnce(int fd, int way, const Bytes& bytes) {
  switch (way) {
    case kSocket:
      return recv(fd, bytes.data, bytes.size, MSG_DONTWAIT);
    case kNoWait:
      return NoWait(SYS_preadv2, fd, bytes, [] { return ssize_t{-1}; });
    case kPipe:
      return NoWait(SYS_preadv2, fd, bytes, [&] { return Detour().Read(fd, bytes); });
    default:
      return IsReady(fd, POLLIN) ? read(fd, bytes.data, bytes.size) : -1;
  }
}

ssize_t WriteOnce(int fd, int way, const Bytes& bytes) {
  switch (way) {
    case kSocket:
      return send(fd, bytes.data, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    case kNoWait:
      return NoWait(SYS_pwritev2, fd, bytes, [] { return ssize_t{-1}; });
    case kPipe:
      return NoWait(SYS_pwritev2, fd, bytes, [&] { return Detour().Write(fd, bytes); });
    default:
      return IsReady(fd, POLLOUT) ? write(fd, bytes.data, bytes.size) : -1;
  }
}

// A FIFO that has had no writer yet reads as if it had ended. The kernel tells the difference with POLLHUP.
ssize_t ReadToEnd(int fd, int way, const Bytes& bytes) {
  const ssize_t done = ReadOnce(fd, way, bytes);
  if (done != 0 || way == kSocket || bytes.size == 0) return done;
  pollfd state = {fd, POLLIN, 0};
  if (poll(&state, 1, 0) < 0) return -1;
  // A writer may have come and gone between the two.
  if ((state.revents & POLLIN) != 0) return ReadOnce(fd, way, bytes);
  if ((state.revents & POLLHUP) != 0) return 0;
  errno = EAGAIN;
  return -1;
}

template <ssize_t (*Transfer)(int, int, const Bytes&)>
napi_value TransferArguments(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int way = 0;
  Bytes bytes;
  if (!arguments.Int(0, &fd) || !arguments.Int(1, &way) || !arguments.GetBytes(2, &bytes)) return nullptr;
  ssize_t done = -1;
  do {
    done = Transfer(fd, way, bytes);
  } while (done < 0 && errno == EINTR);
  napi_value result = nullptr;
  napi_create_double(env, done < 0 ? -errno : static_cast<double>(done), &result);
  return result;
}

napi_value WatchReady(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int events = 0;
  bool keeps_alive = false;
  if (!arguments.Int(0, &fd) || !arguments.Int(1, &events) || !arguments.Bool(3, &keeps_alive)) return nullptr;
  ReadySet* set = Environment::Of(env).ready_set();
  if (set == nullptr) {
    if (events == 0) return nullptr;
    set = Environment::Of(env).OpenReadySet(env, arguments[2]);
    if (set == nullptr) return nullptr;
  }
  if (const int error = set->Watch(fd, events, keeps_alive); error != 0) return ThrowSystemError(env, error, "epoll_ctl");
  return nullptr;
}

napi_value SetNonBlocking(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  bool wanted = false;
  if (!arguments.Int(0, &fd) || !arguments.Bool(1, &wanted)) return nullptr;
  const int flags = fcntl(fd, F_GETFL);
  const int changed = wanted ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (flags < 0 || fcntl(fd, F_SETFL, changed) != 0) return ThrowSystemError(env, errno, "fcntl");
  return nullptr;
}

// shutdownWriting(fd): a socket that is not connected any more has nothing to shut down.
napi_value ShutdownWriting(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  if (shutdown(fd, SHUT_WR) != 0 && errno != ENOTCONN) return ThrowSystemError(env, errno, "shutdown");
  return nullptr;
}

// receivingEnded(fd): whether a socket was shut down for reading, by either end.
napi_value ReceivingEnded(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  pollfd state = {fd, POLLRDHUP, 0};
  napi_value result = nullptr;
  napi_get_boolean(env, poll(&state, 1, 0) != 0, &result);
  return result;
}

}  // namespace

bool DefineWithoutWaitingFunctions(napi_env env, napi_value exports) {
  return Define(env, exports,
                {{"readNow", TransferArguments<ReadToEnd>},
                 {"writeNow", TransferArguments<WriteOnce>},
                 {"watchReady", WatchReady},
                 {"setNonBlocking", SetNonBlocking},
                 {"receivingEnded", ReceivingEnded},
                 {"shutdownWriting", ShutdownWriting}});
}

}  // namespace grpcfd
