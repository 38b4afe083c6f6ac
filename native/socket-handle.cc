#include "socket-handle.h"

#include <cerrno>
#include <iterator>
#include <new>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

#include "arguments.h"
#include "closing.h"
#include "define.h"
#include "environment.h"
#include "inherited.h"
#include "message.h"
#include "socket-calls.h"
#include "system-error.h"

namespace grpcfd {

napi_value SocketHandle::DefineClass(napi_env env) {
  return grpcfd::DefineClass(env, "SocketHandle", Construct,
                             {{"watch", Watch},
                              {"receive", Receive},
                              {"send", Send},
                              {"probe", Probe},
                              {"shutdown", Shutdown},
                              {"hasEnded", HasEnded},
                              {"listen", Listen},
                              {"isReadable", IsReadable},
                              {"accept", Accept},
                              {"ref", Ref},
                              {"unref", Unref},
                              {"release", Release},
                              {"close", CloseMethod}});
}

// new SocketHandle(fd, onReady): takes over `fd` unless it throws.
napi_value SocketHandle::Construct(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  if (const int error = CheckUnixStream(fd); error != 0) return ThrowSystemError(env, error, "getsockopt");

  auto* handle = new SocketHandle(env, Environment::Of(env));
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<SocketHandle*>(data); };
  if (napi_wrap(env, arguments.self(), handle, finalize, nullptr, nullptr) != napi_ok) {
    delete handle;
    return nullptr;
  }
  napi_value name = nullptr;
  if (napi_create_reference(env, arguments.self(), 1, &handle->self_) != napi_ok ||
      napi_create_reference(env, arguments[1], 1, &handle->on_ready_) != napi_ok ||
      napi_create_string_utf8(env, "GRPCFD_SOCKET", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, arguments.self(), name, &handle->async_context_) != napi_ok) {
    handle->ReleaseReferences();
    return nullptr;
  }
  if (const int error = handle->Start(fd); error != 0) {
    handle->ReleaseReferences();
    return ThrowSystemError(env, error, "uv_poll_init");
  }
  return arguments.self();
}

SocketHandle::SocketHandle(napi_env env, Environment& environment)
    : env_(env), environment_(environment), account_(environment.NewAccount()) {}

SocketHandle::~SocketHandle() { ::operator delete(poll_); }

int SocketHandle::Start(int fd) {
  // The size is asked of the libuv in this process: it is not the same in every Node.js version that loads this binary.
  poll_ = static_cast<uv_poll_t*>(::operator new(uv_handle_size(UV_POLL)));
  // Makes the socket non-blocking too.
  if (const int error = uv_poll_init(environment_.loop(), poll_, fd); error != 0) return -error;
  uv_handle_set_data(uv_handle(), this);
  socket_ = OwnFd(fd);
  environment_.Unguard(fd);
  environment_.Add(this);
  return 0;
}

void SocketHandle::Close() { CloseAndTell(nullptr); }

bool SocketHandle::CloseAndTell(napi_value on_closed) {
  if (!socket_.IsOpen()) return false;
  uv_close(uv_handle(), OnClosed);
  // libuv allows this as soon as uv_close has been called: the descriptor is out of the epoll set by then.
  return environment_.closing().CloseSocket(env_, std::move(socket_), on_closed);
}

void SocketHandle::OnClosed(uv_handle_t* handle) {
  auto* self = static_cast<SocketHandle*>(uv_handle_get_data(handle));
  self->environment_.Remove(self);
  self->ReleaseReferences();
}

// The last step of closing: afterwards the object may be collected, and `this` deleted, at any time.
void SocketHandle::ReleaseReferences() {
  if (async_context_ != nullptr) napi_async_destroy(env_, std::exchange(async_context_, nullptr));
  if (on_ready_ != nullptr) napi_delete_reference(env_, std::exchange(on_ready_, nullptr));
  if (self_ != nullptr) napi_delete_reference(env_, std::exchange(self_, nullptr));
}

void SocketHandle::OnPoll(uv_poll_t* poll, int status, int events) {
  auto* self = static_cast<SocketHandle*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(poll)));
  if (status == 0) {
    events &= self->wanted_;
    if (events != 0) self->Dispatch(events);
    else self->Rearm();
    return;
  }
  // libuv reports EPOLLERR as its own error and stops watching. The error of the socket itself comes from
  // recvmsg or sendmsg, and there may be data before it.
  self->watched_ = 0;
  self->Dispatch(UV_READABLE | UV_WRITABLE);
  self->Rearm();
}

void SocketHandle::Dispatch(int events) {
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
  napi_value receiver = nullptr;
  napi_value callback = nullptr;
  napi_get_reference_value(env_, self_, &receiver);
  napi_get_reference_value(env_, on_ready_, &callback);
  napi_value argument = MakeInt(env_, events);
  ReportException(env_, napi_make_callback(env_, async_context_, receiver, callback, 1, &argument, nullptr));
  napi_close_handle_scope(env_, scope);
}

// Makes the event loop watch exactly the wanted events.
int SocketHandle::Rearm() {
  if (!socket_.IsOpen() || watched_ == wanted_) return 0;
  watched_ = wanted_;
  return wanted_ == 0 ? uv_poll_stop(poll_) : uv_poll_start(poll_, wanted_, OnPoll);
}

// Events that are watched but not wanted do not keep the process alive. Neither does the end of a peer from which nobody reads.
void SocketHandle::UpdateRef() {
  if (ref_ && (wanted_ & (UV_READABLE | UV_WRITABLE)) != 0) uv_ref(uv_handle());
  else uv_unref(uv_handle());
}

SocketHandle* SocketHandle::Unwrap(napi_env env, napi_value self, const char* syscall) {
  void* data = nullptr;
  if (napi_unwrap(env, self, &data) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_THIS", "not a SocketHandle");
    return nullptr;
  }
  auto* handle = static_cast<SocketHandle*>(data);
  if (handle->socket_.IsOpen()) return handle;
  ThrowSystemError(env, EBADF, syscall);
  return nullptr;
}

napi_value SocketHandle::Watch(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int events = 0;
  SocketHandle* handle = Unwrap(env, arguments.self(), "epoll_ctl");
  if (handle == nullptr || !arguments.Int(0, &events)) return nullptr;
  handle->wanted_ = events & (UV_READABLE | UV_WRITABLE | UV_DISCONNECT);
  handle->UpdateRef();
  const int unwanted = handle->watched_ & ~handle->wanted_;
  const bool enough = (handle->wanted_ & ~handle->watched_) == 0 && (unwanted & UV_WRITABLE) == 0;
  if (enough) return nullptr;
  if (const int error = handle->Rearm(); error != 0) return ThrowSystemError(env, -error, "epoll_ctl");
  return nullptr;
}

napi_value SocketHandle::Receive(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bytes buffer;
  int offset = 0;
  SocketHandle* handle = Unwrap(env, arguments.self(), "recvmsg");
  FdList arrived;
  if (handle == nullptr || !arguments.GetBytes(0, &buffer) || !arguments.Int(1, &offset)) return nullptr;
  if (!arguments.Fds(2, &arrived)) return nullptr;
  // A read of no bytes would report the end of the stream.
  if (offset < 0 || static_cast<size_t>(offset) >= buffer.size) return ThrowSystemError(env, EINVAL, "recvmsg");
  if (arrived.size < kArrivedLength) return ThrowSystemError(env, EINVAL, "recvmsg");
  ReceivedMessage message =
      ReceiveMessage(handle->socket_.Get(), buffer.data + offset, buffer.size - static_cast<size_t>(offset));
  const ssize_t bytes = message.bytes;
  LeaveDescriptors(handle->environment_, handle->account_, std::move(message), arrived);
  return MakeInt(env, bytes);
}

napi_value SocketHandle::Send(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  SocketHandle* handle = Unwrap(env, arguments.self(), "sendmsg");
  return handle == nullptr ? nullptr : SendArguments(env, arguments, handle->socket_.Get());
}

napi_value SocketHandle::Probe(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  SocketHandle* handle = Unwrap(env, arguments.self(), "sendmsg");
  return handle == nullptr ? nullptr : ProbeArgument(env, arguments, handle->socket_.Get());
}

napi_value SocketHandle::Shutdown(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  SocketHandle* handle = Unwrap(env, arguments.self(), "shutdown");
  if (handle == nullptr) return nullptr;
  return MakeInt(env, shutdown(handle->socket_.Get(), SHUT_WR) == 0 ? 0 : -errno);
}

// hasEnded(): the peer has ended its side, and there is nothing to read before its end.
napi_value SocketHandle::HasEnded(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  SocketHandle* handle = Unwrap(env, arguments.self(), "recv");
  if (handle == nullptr) return nullptr;
  uint8_t byte = 0;
  ssize_t peeked = -1;
  do {
    // Without room for descriptors, the kernel leaves them with their message.
    peeked = recv(handle->socket_.Get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  } while (peeked < 0 && errno == EINTR);
  napi_value result = nullptr;
  napi_get_boolean(env, peeked == 0, &result);
  return result;
}

napi_value SocketHandle::Listen(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int backlog = 0;
  SocketHandle* handle = Unwrap(env, arguments.self(), "listen");
  if (handle == nullptr || !arguments.Int(0, &backlog)) return nullptr;
  if (listen(handle->socket_.Get(), backlog) != 0) return ThrowSystemError(env, errno, "listen");
  return nullptr;
}

// Returns the accepted descriptor or the negative errno.
napi_value SocketHandle::Accept(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  SocketHandle* handle = Unwrap(env, arguments.self(), "accept4");
  if (handle == nullptr) return nullptr;
  int fd = -1;
  do {
    fd = accept4(handle->socket_.Get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  return fd < 0 ? MakeInt(env, -errno) : handle->environment_.Give(env, OwnFd(fd));
}

napi_value SocketHandle::IsReadable(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  SocketHandle* handle = Unwrap(env, arguments.self(), "poll");
  if (handle == nullptr) return nullptr;
  pollfd state = {handle->socket_.Get(), POLLIN, 0};
  napi_value result = nullptr;
  napi_get_boolean(env, poll(&state, 1, 0) > 0, &result);
  return result;
}

napi_value SocketHandle::Ref(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  SocketHandle* handle = Unwrap(env, arguments.self(), "ref");
  if (handle == nullptr) return nullptr;
  handle->ref_ = true;
  handle->UpdateRef();
  return nullptr;
}

napi_value SocketHandle::Unref(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  SocketHandle* handle = Unwrap(env, arguments.self(), "unref");
  if (handle == nullptr) return nullptr;
  handle->ref_ = false;
  handle->UpdateRef();
  return nullptr;
}

// Leaves the event loop without closing the socket, which is the caller's from then on.
napi_value SocketHandle::Release(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  SocketHandle* handle = Unwrap(env, arguments.self(), "release");
  if (handle == nullptr) return nullptr;
  uv_close(handle->uv_handle(), OnClosed);
  const int fd = handle->socket_.Release();
  GiveOut(fd);
  return MakeInt(env, fd);
}

napi_value SocketHandle::CloseMethod(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  void* data = nullptr;
  if (napi_unwrap(env, arguments.self(), &data) != napi_ok) return nullptr;
  napi_valuetype type = napi_undefined;
  napi_typeof(env, arguments[0], &type);
  napi_value result = nullptr;
  const bool is_pending = static_cast<SocketHandle*>(data)->CloseAndTell(type == napi_function ? arguments[0] : nullptr);
  napi_get_boolean(env, is_pending, &result);
  return result;
}

}  // namespace grpcfd
