// For the tests of this package: another addon that calls JavaScript before the event loop waits.
#include <node_api.h>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "libuv.h"
#include "system-error.h"

namespace grpcfd {
namespace {

struct Caller {
  napi_env env;
  napi_ref callback;
  uv_prepare_t* handle;
};

bool CallOnce(const Caller& caller) {
  napi_value callback = nullptr;
  napi_value receiver = nullptr;
  napi_value result = nullptr;
  bool ended = true;
  napi_get_reference_value(caller.env, caller.callback, &callback);
  napi_get_global(caller.env, &receiver);
  ReportException(caller.env, napi_call_function(caller.env, receiver, callback, 0, nullptr, &result));
  if (result != nullptr) napi_get_value_bool(caller.env, result, &ended);
  return ended;
}

void OnClosed(uv_handle_t* handle) {
  auto* caller = static_cast<Caller*>(uv_handle_get_data(handle));
  napi_delete_reference(caller->env, caller->callback);
  ::operator delete(caller->handle);
  delete caller;
}

void OnWait(uv_prepare_t* prepare) {
  auto* handle = reinterpret_cast<uv_handle_t*>(prepare);
  const auto* caller = static_cast<Caller*>(uv_handle_get_data(handle));
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(caller->env, &scope) != napi_ok) return;
  if (CallOnce(*caller)) uv_close(handle, OnClosed);
  napi_close_handle_scope(caller->env, scope);
}

// callBeforeWaits(callback): before each wait of the event loop, until the callback returns true. libuv calls what was started later before it.
napi_value CallBeforeWaits(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  auto* prepare = static_cast<uv_prepare_t*>(::operator new(uv_handle_size(UV_PREPARE)));
  auto* caller = new Caller{env, nullptr, prepare};
  napi_create_reference(env, arguments[0], 1, &caller->callback);
  uv_prepare_init(Environment::Of(env).loop(), prepare);
  auto* handle = reinterpret_cast<uv_handle_t*>(prepare);
  uv_handle_set_data(handle, caller);
  uv_unref(handle);
  uv_prepare_start(prepare, OnWait);
  return nullptr;
}

}  // namespace

bool DefineTestingLoopFunction(napi_env env, napi_value testing) {
  return Define(env, testing, {{"callBeforeWaits", CallBeforeWaits}});
}

}  // namespace grpcfd
