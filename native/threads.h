#ifndef GRPCFD_THREADS_H_
#define GRPCFD_THREADS_H_

#include <node_api.h>

#include <memory>

#include "libuv.h"
#include "loop-handle.h"
#include "own-fd.h"

namespace grpcfd {

class Environment;

// A piece of work that may take any time. What it owns is released where it is destroyed: by its thread if nobody waits any more.
class ThreadJob {
 public:
  virtual ~ThreadJob() = default;
  // In the thread. Returns 0 or an errno.
  virtual int Run() = 0;
  // On the thread of the event loop, after Run: what the callback is given.
  virtual napi_value Result(napi_env env, Environment& environment) = 0;
  // On the thread of the event loop, in place of Result: nobody wants it any more.
  virtual void Abandon(Environment&) {}
};

// One that makes a descriptor, which the callback owns, guarded. It is -1 after an error.
class FdJob : public ThreadJob {
 public:
  napi_value Result(napi_env env, Environment& environment) final;
  void Abandon(Environment& environment) final;

 protected:
  // Keeps what a system call has returned. Returns 0 or the errno.
  int Keep(int fd);

 private:
  OwnFd made_;
};

// Runs each job in a thread of its own, since a file system may take any time, and does not return to a signal either. A thread of
// libuv's pool would be missing to everybody then, and the process would wait for it at its end. Nobody waits for these threads: the
// end of the process ends them.
class Threads final : public LoopHandle {
 public:
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  // Calls back as onDone(errno, result). Returns 0, or an errno when no thread can be made.
  static int Start(napi_env env, Environment& environment, std::unique_ptr<ThreadJob> job, napi_value on_done);

  // Whether the jobs keep the process alive.
  void KeepAlive(bool wanted);

  // What a job has made from now on is released by its thread.
  void Close() override;

 private:
  struct Request;
  struct Mailbox;

  Threads(napi_env env, Environment& environment);
  ~Threads();

  static void* Run(void* data);
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

// A function of JavaScript can end with it: returns undefined, or throws.
napi_value StartJob(napi_env env, std::unique_ptr<ThreadJob> job, napi_value on_done);

}  // namespace grpcfd

#endif  // GRPCFD_THREADS_H_
