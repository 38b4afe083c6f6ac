#ifndef GRPCFD_OPENER_H_
#define GRPCFD_OPENER_H_

#include <node_api.h>

#include <memory>
#include <string>

#include "libuv.h"
#include "loop-handle.h"
#include "own-fd.h"

namespace grpcfd {

class Environment;

// What to open, and where.
struct OpenJob {
  // With one of the two, nothing outside of that directory is reached.
  OwnFd directory;
  std::string directory_path;
  std::string path;
  int flags = 0;
};

// Opens files in threads of its own, since a file system may take any time, and does not return to a signal either. A thread of libuv's
// pool would be missing to everybody then, and the process would wait for it at its end. Nobody waits for these threads: the
// end of the process ends them.
class Opener final : public LoopHandle {
 public:
  // Calls back as onOpened(errno, fd): with the errno 0 the descriptor belongs to the callee and is guarded. Returns 0 or an errno.
  static int Open(napi_env env, Environment& environment, OpenJob job, napi_value on_opened);

  // Whether what is being opened keeps the process alive.
  void KeepAlive(bool wanted);

  // What is opened from now on is closed by its thread.
  void Close() override;

 private:
  struct Request;
  struct Mailbox;

  Opener(napi_env env, Environment& environment);
  ~Opener();

  static void* Run(void* request);
  void Deliver();
  void Call(Request& request);
  uv_handle_t* handle() const { return reinterpret_cast<uv_handle_t*>(async_); }

  napi_env env_;
  Environment& environment_;
  uv_async_t* async_;
  std::shared_ptr<Mailbox> mailbox_;
  napi_async_context async_context_ = nullptr;
  size_t pending_ = 0;
};

}  // namespace grpcfd

#endif  // GRPCFD_OPENER_H_
