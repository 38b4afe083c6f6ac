#include "environment.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "bridge.h"

namespace grpcfd {
namespace {

// More than the kernel lets a socket buffer by default (net.core.wmem_default: 208 KiB).
constexpr size_t kScratchSize = 256 * 1024;

// How often bridges that are paused are looked at.
constexpr uint64_t kStallCheckMs = 100;

}  // namespace

bool Environment::Install(napi_env env) {
  std::unique_ptr<Environment> environment(new Environment);
  if (napi_get_uv_event_loop(env, &environment->loop_) != napi_ok) return false;
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); };
  if (napi_set_instance_data(env, environment.get(), finalize, nullptr) != napi_ok) return false;
  Environment* installed = environment.release();
  // Asynchronous, because the loop must turn once more for libuv to let go of the closed handles.
  return napi_add_async_cleanup_hook(env, OnTeardown, installed, &installed->hook_) == napi_ok;
}

Environment& Environment::Of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

Scratch Environment::scratch() {
  if (scratch_ == nullptr) scratch_.reset(new uint8_t[kScratchSize]);
  return {scratch_.get(), kScratchSize};
}

napi_value Environment::Give(napi_env env, OwnFd descriptor) {
  napi_value number = nullptr;
  if (napi_create_int32(env, descriptor.Get(), &number) != napi_ok) return nullptr;
  Guard(descriptor.Release());
  return number;
}

void Environment::Remove(LoopHandle* handle) {
  handles_.erase(handle);
  if (tearing_down_ && handles_.empty()) FinishTeardown();
}

void Environment::AddDue(Bridge* bridge) {
  if (before_wait_ == nullptr) before_wait_ = new BeforeWait(*this);
  due_.push_back(bridge);
}

void Environment::RemoveDue(Bridge* bridge) {
  std::replace(due_.begin(), due_.end(), bridge, static_cast<Bridge*>(nullptr));
  std::replace(running_.begin(), running_.end(), bridge, static_cast<Bridge*>(nullptr));
}

void Environment::WatchForStalls() { before_wait_->StartTimer(); }

void Environment::FindStalled() {
  bool again = false;
  // A copy: whoever is told may close any of them.
  running_ = due_;
  for (size_t i = 0; i < running_.size(); i++) {
    if (running_[i] != nullptr && running_[i]->CheckStalled()) again = true;
  }
  running_.clear();
  if (again) before_wait_->StartTimer();
}

void Environment::RunDue() {
  running_.swap(due_);
  for (size_t i = 0; i < running_.size(); i++) {
    if (running_[i] != nullptr) running_[i]->BeforeWait();
  }
  running_.clear();
}

void Environment::OnTeardown(napi_async_cleanup_hook_handle, void* data) {
  auto* environment = static_cast<Environment*>(data);
  environment->tearing_down_ = true;
  for (int fd : environment->guarded_.TakeAll()) close(fd);
  for (LoopHandle* handle : environment->handles_) handle->Close();
  if (environment->handles_.empty()) environment->FinishTeardown();
}

void Environment::FinishTeardown() { napi_remove_async_cleanup_hook(hook_); }

Environment::BeforeWait::BeforeWait(Environment& environment)
    : environment_(environment),
      prepare_(static_cast<uv_prepare_t*>(::operator new(uv_handle_size(UV_PREPARE)))),
      timer_(static_cast<uv_timer_t*>(::operator new(uv_handle_size(UV_TIMER)))) {
  uv_prepare_init(environment.loop(), prepare_);
  uv_timer_init(environment.loop(), timer_);
  for (uv_handle_t* handle : {reinterpret_cast<uv_handle_t*>(prepare_), reinterpret_cast<uv_handle_t*>(timer_)}) {
    uv_handle_set_data(handle, this);
    uv_unref(handle);
  }
  uv_prepare_start(prepare_, [](uv_prepare_t* handle) {
    auto* self = static_cast<BeforeWait*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(handle)));
    if (!self->environment_.due_.empty()) self->environment_.RunDue();
  });
  environment.Add(this);
}

Environment::BeforeWait::~BeforeWait() {
  ::operator delete(prepare_);
  ::operator delete(timer_);
}

void Environment::BeforeWait::StartTimer() {
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(timer_)) != 0) return;
  const auto fire = [](uv_timer_t* handle) {
    auto* self = static_cast<BeforeWait*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(handle)));
    self->environment_.FindStalled();
  };
  uv_timer_start(timer_, fire, kStallCheckMs, 0);
}

void Environment::BeforeWait::Close() {
  uv_close(reinterpret_cast<uv_handle_t*>(prepare_), OnClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(timer_), OnClosed);
}

void Environment::BeforeWait::OnClosed(uv_handle_t* handle) {
  auto* self = static_cast<BeforeWait*>(uv_handle_get_data(handle));
  if (--self->open_handles_ > 0) return;
  self->environment_.Remove(self);
  delete self;
}

}  // namespace grpcfd
