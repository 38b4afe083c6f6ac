#ifndef GRPCFD_READY_SET_H_
#define GRPCFD_READY_SET_H_

#include <node_api.h>

#include "fd-set.h"
#include "libuv.h"
#include "loop-handle.h"
#include "own-fd.h"

namespace grpcfd {

class Environment;

// The descriptors of users that wait until they can be read or written, in an epoll set of their own that the event loop watches
// with one uv_poll. A uv_poll for each of them would make it non-blocking, and with it the open file that others share.
// The set exists while somebody waits: it is closed before the event loop waits with nobody in it.
class ReadySet final : public LoopHandle {
 public:
  ReadySet(const ReadySet&) = delete;
  ReadySet& operator=(const ReadySet&) = delete;

  // `on_ready` is called as onReady(fd, events) for each descriptor that is ready, once: it has to be watched again then. Returns
  // nullptr with an exception pending when the set cannot be made.
  static ReadySet* Open(napi_env env, Environment& environment, napi_value on_ready);

  // Watches `fd` for these events (UV_READABLE, UV_WRITABLE), once. With 0, it leaves the set. Returns 0 or an errno. Without
  // `keeps_alive`, the process may end while it is watched.
  // A descriptor must leave the set before it is closed: the set keeps the open file as long as others have it open.
  int Watch(int fd, int events, bool keeps_alive);

  void Close() override;

 private:
  ReadySet(napi_env env, Environment& environment);
  ~ReadySet();

  static void OnClosed(uv_handle_t* handle);

  void OnPoll();
  void SetKeeper(int fd, bool wanted);
  void Dispatch(int fd, int events);
  void ReleaseReferences();
  uv_handle_t* poll_handle() const { return reinterpret_cast<uv_handle_t*>(poll_); }
  uv_handle_t* prepare_handle() const { return reinterpret_cast<uv_handle_t*>(prepare_); }

  napi_env env_;
  Environment& environment_;
  OwnFd epoll_;
  uv_poll_t* poll_;
  uv_prepare_t* prepare_;
  int open_handles_ = 2;
  // In the set, whether watched at the moment or not.
  FdSet members_;
  size_t count_ = 0;
  // Those of them that keep the process alive.
  FdSet keepers_;
  size_t keeper_count_ = 0;
  napi_ref on_ready_ = nullptr;
  napi_async_context async_context_ = nullptr;
};

}  // namespace grpcfd

#endif  // GRPCFD_READY_SET_H_
