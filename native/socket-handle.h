#ifndef GRPCFD_SOCKET_HANDLE_H_
#define GRPCFD_SOCKET_HANDLE_H_

#include <node_api.h>

#include <cstdint>

#include "libuv.h"
#include "loop-handle.h"
#include "own-fd.h"

namespace grpcfd {

class Environment;

// The class `SocketHandle` of JavaScript: one unix stream socket, connected or listening, and its place in the event
// loop. It offers system calls and readiness without policy: TypeScript handles EAGAIN, short writes and the end of file.
// After close, its methods throw EBADF, so that a number that the kernel has given to another file is never touched.
class SocketHandle final : public LoopHandle {
 public:
  SocketHandle(const SocketHandle&) = delete;
  SocketHandle& operator=(const SocketHandle&) = delete;

  static napi_value DefineClass(napi_env env);

  // Closes the socket and leaves the event loop. Idempotent.
  void Close() override;

 private:
  SocketHandle(napi_env env, Environment& environment);
  ~SocketHandle();

  static napi_value Construct(napi_env env, napi_callback_info info);
  static napi_value Watch(napi_env env, napi_callback_info info);
  static napi_value Receive(napi_env env, napi_callback_info info);
  static napi_value Send(napi_env env, napi_callback_info info);
  static napi_value Probe(napi_env env, napi_callback_info info);
  static napi_value Shutdown(napi_env env, napi_callback_info info);
  static napi_value HasEnded(napi_env env, napi_callback_info info);
  static napi_value Listen(napi_env env, napi_callback_info info);
  static napi_value IsReadable(napi_env env, napi_callback_info info);
  static napi_value Accept(napi_env env, napi_callback_info info);
  static napi_value Ref(napi_env env, napi_callback_info info);
  static napi_value Unref(napi_env env, napi_callback_info info);
  static napi_value Release(napi_env env, napi_callback_info info);
  static napi_value CloseMethod(napi_env env, napi_callback_info info);

  static void OnPoll(uv_poll_t* poll, int status, int events);
  static void OnClosed(uv_handle_t* handle);

  // The handle behind `self`, or nullptr with an exception pending when it is closed.
  static SocketHandle* Unwrap(napi_env env, napi_value self, const char* syscall);

  // See Closing::CloseSocket.
  bool CloseAndTell(napi_value on_closed);
  int Start(int fd);
  int Rearm();
  void UpdateRef();
  void Dispatch(int events);
  void ReleaseReferences();
  uv_handle_t* uv_handle() const { return reinterpret_cast<uv_handle_t*>(poll_); }

  napi_env env_;
  Environment& environment_;
  // On which what comes is closed.
  const uint32_t account_;
  OwnFd socket_;
  uv_poll_t* poll_ = nullptr;
  // The events that JavaScript wants, and those that the event loop watches. The loop may go on watching for readiness to read that is
  // not wanted at the moment, because leaving and entering the epoll set costs three system calls. It stops
  // when an event arrives that is not wanted.
  int wanted_ = 0;
  int watched_ = 0;
  bool ref_ = true;
  // Strong while the handle is open: an open socket is alive even if only the event loop knows it.
  napi_ref self_ = nullptr;
  napi_ref on_ready_ = nullptr;
  napi_async_context async_context_ = nullptr;
};

}  // namespace grpcfd

#endif  // GRPCFD_SOCKET_HANDLE_H_
