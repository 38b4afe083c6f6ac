#ifndef GRPCFD_ENVIRONMENT_H_
#define GRPCFD_ENVIRONMENT_H_

#include <node_api.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fd-set.h"
#include "libuv.h"
#include "loop-handle.h"
#include "own-fd.h"

namespace grpcfd {

class Bridge;
class Closing;
class ReadySet;
class Threads;

// The far ends of the pairs that Node writes to, in an epoll set of their own. Node writes on the loop's thread, so they are looked
// at before the event loop waits: no write of Node's waits for a wake-up, and a turn costs one syscall for all of them. The event
// loop watches the set as well, for what is written after that.
class FarEnds {
 public:
  // Makes the set. These return 0 or an errno.
  int Open();
  int Add(int fd, Bridge* bridge);
  int Watch(int fd, Bridge* bridge, bool wanted);
  void Remove(int fd);
  // Tells each bridge whose far end has something to be read.
  void Forward();
  int descriptor() const { return epoll_.Get(); }
  size_t size() const { return count_; }
  void Close() { epoll_.Reset(); }

 private:
  OwnFd epoll_;
  size_t count_ = 0;
  // Goes up with each removal: what epoll has told before may be of a bridge that is gone.
  uint64_t removals_ = 0;
};

// Memory that anybody on the loop's thread may use until it returns to the event loop, or calls JavaScript.
struct Scratch {
  uint8_t* data;
  size_t size;
};

// What the addon keeps for one Node.js environment: the main thread or one worker. When the environment is torn down,
// be it by worker.terminate() in the middle of anything, every open handle and every guarded descriptor is closed.
class Environment {
 public:
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();
  static bool Install(napi_env env);
  static Environment& Of(napi_env env);

  uv_loop_t* loop() const { return loop_; }
  Scratch scratch();
  FarEnds& far_ends() { return far_ends_; }
  bool is_torn_down() const { return tearing_down_; }

  // Closes what may take any time.
  Closing& closing() { return *closing_; }

  void Add(LoopHandle* handle);
  bool HasHandles() const { return !handles_.empty(); }
  // Whether an object of the event loop, of Node.js or of this addon, uses the descriptor of that number.
  bool IsInUse(int fd) const;
  // Called when libuv has let go of the handle.
  void Remove(LoopHandle* handle);

  // Has `bridge` called once more before the event loop waits again.
  void AddDue(Bridge* bridge);
  // Has `bridge` told when there is something to be read from `fd`. Returns 0 or an errno.
  int AddFarEnd(int fd, Bridge* bridge);
  void RemoveFarEnd(int fd);
  // Whether the changes can be seen that the event loop is going to tell epoll of.
  bool CanSeeChanges() const { return loop_->backend_fd == uv_backend_fd(loop_); }
  // Whether they are looked for before the event loop waits, behind all JavaScript of this addon and of its copies.
  bool LooksLast() const { return before_wait_ != nullptr && before_wait_->is_last() && !before_wait_->has_looked(); }
  // Tells `bridge`, in its direct mode, before the event loop tells epoll of a change to `fd`.
  void AddDirect(int fd, Bridge* bridge) { direct_[fd] = bridge; }
  void RemoveDirect(int fd) { direct_.erase(fd); }
  void RemoveDue(Bridge* bridge);
  // Has the bridges that are due called after the next wait, before JavaScript that Node runs then.
  void LookAfterWait();
  // Has the bridges that are due asked soon whether they have stalled.
  void WatchForStalls();

  // The set of those who wait, or nullptr while nobody does.
  ReadySet* ready_set() const { return ready_set_; }
  // nullptr with an exception pending where that fails.
  ReadySet* OpenReadySet(napi_env env, napi_value on_ready);
  // The set is being closed.
  void Forget(ReadySet* set);

  // What runs jobs in threads of their own, or nullptr while there is no job.
  Threads* threads() const { return threads_; }
  void SetThreads(Threads* threads) { threads_ = threads; }
  void ForgetThreads(Threads* threads) {
    if (threads_ == threads) threads_ = nullptr;
  }

  // A guarded descriptor is owned by JavaScript, which cannot close it any more once a worker has been terminated. That can
  // be between any two instructions, so descriptors are guarded before JavaScript hears of them. Owners who give one away
  // must unguard it first: its number may be anybody's afterwards.
  void Guard(int fd) { guarded_.Add(fd); }
  void Unguard(int fd) {
    guarded_.Remove(fd);
    if (!lent_.empty()) lent_.erase(fd);
    SetAccount(fd, 0);
  }

  // For a guarded socket that an object of Node is about to take over. That object, if it has, closes it before the teardown does, and the
  // number may be that of another file then. So it is closed only if it is the same socket still. Unguard it when the object has it.
  void Lend(int fd);

  // The account on which a descriptor is closed: that of the connection on which it came, or which it is a duplicate of. 0: no connection's.
  uint32_t NewAccount() { return ++last_account_; }
  uint32_t AccountOf(int fd) const {
    return fd >= 0 && static_cast<size_t>(fd) < accounts_.size() ? accounts_[static_cast<size_t>(fd)] : 0;
  }
  void SetAccount(int fd, uint32_t account) {
    if (fd < 0 || AccountOf(fd) == account) return;
    if (static_cast<size_t>(fd) >= accounts_.size()) accounts_.resize(static_cast<size_t>(fd) + 1);
    accounts_[static_cast<size_t>(fd)] = account;
  }

  // Passes a descriptor to JavaScript as a number, guarded. nullptr, and it is closed, when there is no number to be had.
  napi_value Give(napi_env env, OwnFd descriptor);

 private:
  // Two callbacks before each wait of the event loop, one after some of the waits, and one some time after a bridge has been paused. Started with
  // the first bridge, and never stopped, so that later ones can be direct from their start: see LooksLast.
  //
  // The first of the two calls JavaScript, which may do anything to a bridge of another copy of this addon. libuv puts a callback that is
  // started before all others, so the first one starts itself again in each turn. The last ones of all copies come behind these.
  class BeforeWait final : public LoopHandle {
   public:
    explicit BeforeWait(Environment& environment);
    BeforeWait(const BeforeWait&) = delete;
    BeforeWait& operator=(const BeforeWait&) = delete;
    void Close() override;
    void StartTimer();
    void StartCheck();
    // The callbacks have the places that they are to have, from the second turn on: in the first one, another copy may come behind them.
    bool is_last() const { return turns_ > 1; }
    // The event loop waits next, and nothing is looked for any more before that.
    bool has_looked() const { return looked_in_ == CountOfWaits(); }

   private:
    // libuv counts up behind the callbacks before a wait.
    uint64_t CountOfWaits() const {
      uv_metrics_t metrics = {};
      uv_metrics_info(environment_.loop(), &metrics);
      return metrics.loop_count;
    }
    ~BeforeWait();
    static void OnFirst(uv_prepare_t* handle);
    static void OnLast(uv_prepare_t* handle);
    static void OnClosed(uv_handle_t* handle);
    Environment& environment_;
    uv_prepare_t* first_;
    uv_prepare_t* last_;
    // libuv puts it before that of Node's immediates.
    uv_check_t* check_;
    uv_timer_t* timer_;
    int open_handles_ = 4;
    int turns_ = 0;
    // The count of waits when changes were looked for last.
    uint64_t looked_in_ = UINT64_MAX;
  };

  // Has the event loop watch the far ends.
  class FarEndsWatch final : public LoopHandle {
   public:
    explicit FarEndsWatch(Environment& environment);
    FarEndsWatch(const FarEndsWatch&) = delete;
    FarEndsWatch& operator=(const FarEndsWatch&) = delete;
    void Close() override;

   private:
    ~FarEndsWatch() { ::operator delete(poll_); }
    Environment& environment_;
    uv_poll_t* poll_;
  };

  Environment();

  static void OnExit();
  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* data);
  void CloseGuarded();
  void FinishTeardown();
  void ForwardWritten();
  void TellOfChanges();
  void RunDue();
  void RunAfterWait();
  void FindStalled();
  void CloseIfUnused();

  uv_loop_t* loop_ = nullptr;
  Environment* next_of_thread_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool tearing_down_ = false;
  std::unordered_set<LoopHandle*> handles_;
  std::unique_ptr<Closing> closing_;
  // nullptr before the first bridge, and from the teardown on.
  BeforeWait* before_wait_ = nullptr;
  // nullptr while there is no bridge.
  FarEndsWatch* far_ends_watch_ = nullptr;
  ReadySet* ready_set_ = nullptr;
  Threads* threads_ = nullptr;
  // By Node's number of the near end.
  std::unordered_map<int, Bridge*> direct_;
  std::vector<Bridge*> due_;
  // Those whose turn it is now. One that closes in there leaves a nullptr.
  std::vector<Bridge*> running_;
  std::unique_ptr<uint8_t[]> scratch_;
  FarEnds far_ends_;
  FdSet guarded_;
  // The inode of each.
  std::unordered_map<int, ino_t> lent_;
  // By the number of the descriptor.
  std::vector<uint32_t> accounts_;
  uint32_t last_account_ = 0;
};

}  // namespace grpcfd

#endif  // GRPCFD_ENVIRONMENT_H_
