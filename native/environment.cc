#include "environment.h"

#include <unistd.h>

#include <memory>

#include "socket-handle.h"

namespace grpcfd {

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

napi_value Environment::Give(napi_env env, OwnFd descriptor) {
  napi_value number = nullptr;
  if (napi_create_int32(env, descriptor.Get(), &number) != napi_ok) return nullptr;
  Guard(descriptor.Release());
  return number;
}

void Environment::Remove(SocketHandle* handle) {
  handles_.erase(handle);
  if (tearing_down_ && handles_.empty()) FinishTeardown();
}

void Environment::OnTeardown(napi_async_cleanup_hook_handle, void* data) {
  auto* environment = static_cast<Environment*>(data);
  environment->tearing_down_ = true;
  for (int fd : environment->guarded_.TakeAll()) close(fd);
  for (SocketHandle* handle : environment->handles_) handle->Close();
  if (environment->handles_.empty()) environment->FinishTeardown();
}

void Environment::FinishTeardown() { napi_remove_async_cleanup_hook(hook_); }

}  // namespace grpcfd
