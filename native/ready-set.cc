#include "ready-set.h"

#include <sys/epoll.h>

#include <cerrno>
#include <new>
#include <utility>

#include "environment.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// How many descriptors are told of at a time.
constexpr int kEventsPerWait = 64;

uint32_t ToEpoll(int events) {
  return ((events & UV_READABLE) != 0 ? EPOLLIN : 0u) | ((events & UV_WRITABLE) != 0 ? EPOLLOUT : 0u) | EPOLLONESHOT;
}

// After a hang-up or an error, the next read or write tells what it is.
int FromEpoll(uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) return UV_READABLE | UV_WRITABLE;
  return ((events & EPOLLIN) != 0 ? UV_READABLE : 0) | ((events & EPOLLOUT) != 0 ? UV_WRITABLE : 0);
}

ReadySet* Owner(uv_handle_t* handle) { return static_cast<ReadySet*>(uv_handle_get_data(handle)); }

}  // namespace

ReadySet::ReadySet(napi_env env, Environment& environment)
    : env_(env),
      environment_(environment),
      poll_(static_cast<uv_poll_t*>(::operator new(uv_handle_size(UV_POLL)))),
      prepare_(static_cast<uv_prepare_t*>(::operator new(uv_handle_size(UV_PREPARE)))) {}

ReadySet::~ReadySet() {
  ::operator delete(poll_);
  ::operator delete(prepare_);
}

ReadySet* ReadySet::Open(napi_env env, Environment& environment, napi_value on_ready) {
  OwnFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.IsOpen()) {
    ThrowSystemError(env, errno, "epoll_create1");
    return nullptr;
  }
  auto* set = new ReadySet(env, environment);
  napi_value name = nullptr;
  napi_value resource = nullptr;
  if (napi_create_reference(env, on_ready, 1, &set->on_ready_) != napi_ok ||
      napi_create_object(env, &resource) != napi_ok ||
      napi_create_string_utf8(env, "GRPCFD_READY", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, resource, name, &set->async_context_) != napi_ok) {
    set->ReleaseReferences();
    delete set;
    return nullptr;
  }
  if (const int error = uv_poll_init(environment.loop(), set->poll_, epoll.Get()); error != 0) {
    set->ReleaseReferences();
    delete set;
    ThrowSystemError(env, -error, "uv_poll_init");
    return nullptr;
  }
  set->epoll_ = std::move(epoll);
  uv_prepare_init(environment.loop(), set->prepare_);
  uv_handle_set_data(set->poll_handle(), set);
  uv_handle_set_data(set->prepare_handle(), set);
  uv_unref(set->prepare_handle());
  uv_prepare_start(set->prepare_, [](uv_prepare_t* handle) {
    ReadySet* self = Owner(reinterpret_cast<uv_handle_t*>(handle));
    if (self->count_ == 0) self->Close();
  });
  uv_poll_start(set->poll_, UV_READABLE,
                [](uv_poll_t* handle, int, int) { Owner(reinterpret_cast<uv_handle_t*>(handle))->OnPoll(); });
  environment.Add(set);
  return set;
}

int ReadySet::Watch(int fd, int events, bool keeps_alive) {
  const bool is_member = members_.Has(fd);
  if (events == 0) {
    if (!is_member) return 0;
    epoll_ctl(epoll_.Get(), EPOLL_CTL_DEL, fd, nullptr);
    members_.Remove(fd);
    count_--;
  } else {
    epoll_event event = {};
    event.events = ToEpoll(events);
    event.data.fd = fd;
    if (epoll_ctl(epoll_.Get(), is_member ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0) return errno;
    if (!is_member) {
      members_.Add(fd);
      count_++;
    }
  }
  SetKeeper(fd, events != 0 && keeps_alive);
  return 0;
}

void ReadySet::SetKeeper(int fd, bool wanted) {
  if (wanted != keepers_.Has(fd)) {
    if (wanted) {
      keepers_.Add(fd);
      keeper_count_++;
    } else {
      keepers_.Remove(fd);
      keeper_count_--;
    }
  }
  if (keeper_count_ > 0) uv_ref(poll_handle());
  else uv_unref(poll_handle());
}

void ReadySet::OnPoll() {
  epoll_event events[kEventsPerWait];
  const int ready = epoll_wait(epoll_.Get(), events, kEventsPerWait, 0);
  for (int i = 0; i < ready; i++) {
    // It may have left while another one was told. Then its number may even be that of another file: to be told for nothing
    // does no harm.
    if (members_.Has(events[i].data.fd)) Dispatch(events[i].data.fd, FromEpoll(events[i].events));
  }
}

void ReadySet::Dispatch(int fd, int events) {
  napi_handle_scope scope = nullptr;
  if (on_ready_ == nullptr || napi_open_handle_scope(env_, &scope) != napi_ok) return;
  napi_value callback = nullptr;
  napi_value global = nullptr;
  napi_value values[2] = {};
  napi_get_reference_value(env_, on_ready_, &callback);
  napi_get_global(env_, &global);
  napi_create_int32(env_, fd, &values[0]);
  napi_create_int32(env_, events, &values[1]);
  ReportException(env_, napi_make_callback(env_, async_context_, global, callback, 2, values, nullptr));
  napi_close_handle_scope(env_, scope);
}

void ReadySet::Close() {
  if (!epoll_.IsOpen()) return;
  uv_close(poll_handle(), OnClosed);
  uv_close(prepare_handle(), OnClosed);
  // libuv allows this as soon as uv_close has been called.
  epoll_.Reset();
  members_.TakeAll();
  environment_.Forget(this);
}

void ReadySet::OnClosed(uv_handle_t* handle) {
  ReadySet* self = Owner(handle);
  if (--self->open_handles_ > 0) return;
  self->ReleaseReferences();
  self->environment_.Remove(self);
  delete self;
}

void ReadySet::ReleaseReferences() {
  if (async_context_ != nullptr) napi_async_destroy(env_, std::exchange(async_context_, nullptr));
  if (on_ready_ != nullptr) napi_delete_reference(env_, std::exchange(on_ready_, nullptr));
}

}  // namespace grpcfd
