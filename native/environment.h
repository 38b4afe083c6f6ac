#ifndef GRPCFD_ENVIRONMENT_H_
#define GRPCFD_ENVIRONMENT_H_

#include <node_api.h>
#include <uv.h>

#include <unordered_set>

#include "fd-set.h"
#include "own-fd.h"

namespace grpcfd {

class SocketHandle;

// What the addon keeps for one Node.js environment: the main thread or one worker. When the environment is torn down,
// be it by worker.terminate() in the middle of anything, every open handle and every guarded descriptor is closed.
class Environment {
 public:
  static bool Install(napi_env env);
  static Environment& Of(napi_env env);

  uv_loop_t* loop() const { return loop_; }

  void Add(SocketHandle* handle) { handles_.insert(handle); }
  // Called when libuv has let go of the handle.
  void Remove(SocketHandle* handle);

  // A guarded descriptor is owned by JavaScript, which cannot close it any more once a worker has been terminated. That can
  // be between any two instructions, so descriptors are guarded before JavaScript hears of them. Owners who give one away
  // must unguard it first: its number may be anybody's afterwards.
  void Guard(int fd) { guarded_.Add(fd); }
  void Unguard(int fd) { guarded_.Remove(fd); }

  // Passes a descriptor to JavaScript as a number, guarded. nullptr, and it is closed, when there is no number to be had.
  napi_value Give(napi_env env, OwnFd descriptor);

 private:
  Environment() = default;

  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* data);
  void FinishTeardown();

  uv_loop_t* loop_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool tearing_down_ = false;
  std::unordered_set<SocketHandle*> handles_;
  FdSet guarded_;
};

}  // namespace grpcfd

#endif  // GRPCFD_ENVIRONMENT_H_
