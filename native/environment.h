#ifndef GRPCFD_ENVIRONMENT_H_
#define GRPCFD_ENVIRONMENT_H_

#include <node_api.h>
#include <uv.h>

#include <memory>
#include <unordered_set>
#include <vector>

#include "fd-set.h"
#include "loop-handle.h"
#include "own-fd.h"

namespace grpcfd {

class Bridge;

// Memory that anybody on the loop's thread may use until it returns to the event loop, or calls JavaScript.
struct Scratch {
  uint8_t* data;
  size_t size;
};

// What the addon keeps for one Node.js environment: the main thread or one worker. When the environment is torn down,
// be it by worker.terminate() in the middle of anything, every open handle and every guarded descriptor is closed.
class Environment {
 public:
  static bool Install(napi_env env);
  static Environment& Of(napi_env env);

  uv_loop_t* loop() const { return loop_; }
  Scratch scratch();

  void Add(LoopHandle* handle) { handles_.insert(handle); }
  // Called when libuv has let go of the handle.
  void Remove(LoopHandle* handle);

  // Has `bridge` called once more before the event loop waits again.
  void AddDue(Bridge* bridge);
  void RemoveDue(Bridge* bridge);
  // Has the bridges that are due asked soon whether they have stalled.
  void WatchForStalls();

  // A guarded descriptor is owned by JavaScript, which cannot close it any more once a worker has been terminated. That can
  // be between any two instructions, so descriptors are guarded before JavaScript hears of them. Owners who give one away
  // must unguard it first: its number may be anybody's afterwards.
  void Guard(int fd) { guarded_.Add(fd); }
  void Unguard(int fd) { guarded_.Remove(fd); }

  // Passes a descriptor to JavaScript as a number, guarded. nullptr, and it is closed, when there is no number to be had.
  napi_value Give(napi_env env, OwnFd descriptor);

 private:
  // A callback before each wait of the event loop, and one some time after a bridge has been paused. Started with the first bridge.
  class BeforeWait final : public LoopHandle {
   public:
    explicit BeforeWait(Environment& environment);
    void Close() override;
    void StartTimer();

   private:
    ~BeforeWait();
    static void OnClosed(uv_handle_t* handle);
    Environment& environment_;
    uv_prepare_t* prepare_;
    uv_timer_t* timer_;
    int open_handles_ = 2;
  };

  Environment() = default;

  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* data);
  void FinishTeardown();
  void RunDue();
  void FindStalled();

  uv_loop_t* loop_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool tearing_down_ = false;
  std::unordered_set<LoopHandle*> handles_;
  BeforeWait* before_wait_ = nullptr;
  std::vector<Bridge*> due_;
  // Those whose turn it is now. One that closes in there leaves a nullptr.
  std::vector<Bridge*> running_;
  std::unique_ptr<uint8_t[]> scratch_;
  FdSet guarded_;
};

}  // namespace grpcfd

#endif  // GRPCFD_ENVIRONMENT_H_
