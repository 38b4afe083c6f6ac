// Eventfds as doorbells between processes. A ring never waits, whatever the peers do with the open file.
#include <linux/aio_abi.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <ctime>
#include <mutex>
#include <utility>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
#include "stay-loaded.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// Adds 1 to the counter of an eventfd from inside the kernel. That never waits, also where the open file is blocking and its counter is
// full. A write would wait then: RWF_NOWAIT does not work for writes to an eventfd, it cannot be opened anew, and to set O_NONBLOCK is
// not enough, because any process that has the open file can clear the flag (the Fd() of a file in Go does so). The kernel rings an
// eventfd at the end of an asynchronous operation. The operation here is to ask whether the eventfd can be read or written: one
// of the two is always so, and the operation ends at once.
class Ringer {
 public:
  // Returns 0 or an errno. What fails is not there: a kernel or a sandbox without io_submit, or no room in fs.aio-max-nr.
  int Ring(int fd) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (context_ == 0 && syscall(SYS_io_setup, kResults, &context_) != 0) {
      context_ = 0;
      return errno;
    }
    if (Submit(fd) == 0) return 0;
    if (errno != EAGAIN) return errno;
    // There is no room for one more result.
    DropResults();
    return Submit(fd) == 0 ? 0 : errno;
  }

 private:
  static constexpr long kResults = 64;

  int Submit(int fd) {
    iocb operation = {};
    operation.aio_lio_opcode = kPoll;
    operation.aio_fildes = static_cast<uint32_t>(fd);
    operation.aio_buf = POLLIN | POLLOUT;
    operation.aio_flags = IOCB_FLAG_RESFD;
    operation.aio_resfd = static_cast<uint32_t>(fd);
    iocb* operations[] = {&operation};
    return syscall(SYS_io_submit, context_, 1L, operations) == 1 ? 0 : -1;
  }

  void DropResults() {
    io_event results[kResults];
    timespec now = {};
    while (syscall(SYS_io_getevents, context_, 0L, kResults, results, &now) == kResults) {
    }
  }

  // IOCB_CMD_POLL, since Linux 4.19, which the headers of older systems lack.
  static constexpr uint16_t kPoll = 5;

  std::mutex mutex_;
  aio_context_t context_ = 0;
};

// One for all threads of the process, for as long as it lives: to give it back takes the kernel 30 ms.
Ringer& TheRinger() {
  StayLoaded();
  static auto* ringer = new Ringer;
  return *ringer;
}

// Returns 0, also where the counter is full: it is rung already. Otherwise an errno; EOPNOTSUPP: a ring could wait.
int Ring(int fd) {
  pollfd state = {fd, POLLOUT, 0};
  if (poll(&state, 1, 0) < 0) return errno;
  // A full counter stays as its writer left it.
  if ((state.revents & POLLNVAL) == 0 && (state.revents & POLLOUT) == 0) return 0;
  if (TheRinger().Ring(fd) == 0) return 0;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return errno;
  if ((flags & O_NONBLOCK) == 0) return EOPNOTSUPP;
  const uint64_t one = 1;
  return write(fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN ? 0 : errno;
}

// createEventFd(): guarded.
napi_value CreateEventFd(napi_env env, napi_callback_info) {
  OwnFd made(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made.IsOpen()) return ThrowSystemError(env, errno, "eventfd");
  return Environment::Of(env).Give(env, std::move(made));
}

// ringEventFd(fd): 0 or a negative errno.
napi_value RingEventFd(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  napi_value result = nullptr;
  napi_create_int32(env, -Ring(fd), &result);
  return result;
}

}  // namespace

bool DefineEventFdFunctions(napi_env env, napi_value exports) {
  return Define(env, exports, {{"createEventFd", CreateEventFd}, {"ringEventFd", RingEventFd}});
}

}  // namespace grpcfd
