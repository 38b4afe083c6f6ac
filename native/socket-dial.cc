// Dials socket files by their descriptors, in threads of their own: the file system of a socket file is asked whether this process may.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
#include "threads.h"

namespace grpcfd {
namespace {

class DialJob final : public FdJob {
 public:
  explicit DialJob(int fd) : file_(fd) {}

  int Run() override {
    const int error = Dial();
    file_.Reset();
    return error;
  }

 private:
  int Dial() {
    OwnFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.IsOpen()) return errno;
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    static_cast<void>(std::snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", file_.Get()));
    if (connect(socket.Get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return errno;
    return Keep(socket.Release());
  }

  OwnFd file_;
};

// dialInThread(fd, onConnected): takes over `fd`, of a socket file. A connected socket, non-blocking. EAGAIN: the backlog is full.
napi_value DialInThread(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  Environment::Of(env).Unguard(fd);
  return StartJob(env, std::make_unique<DialJob>(fd), arguments[1]);
}

}  // namespace

bool DefineSocketDialFunction(napi_env env, napi_value exports) {
  return Define(env, exports, {{"dialInThread", DialInThread}});
}

}  // namespace grpcfd
