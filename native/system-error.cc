#include "system-error.h"

#include <cerrno>
#include <string>

#include "libuv.h"

namespace grpcfd {
namespace {

napi_value MakeString(napi_env env, const std::string& text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &value);
  return value;
}

}  // namespace

napi_value MakeSystemError(napi_env env, int error_number, const char* syscall) {
  char name[64] = "ETOOMANYREFS";
  char description[256] = "too many references, descriptors in flight";
  // The only errno of these system calls that libuv does not know.
  if (error_number != ETOOMANYREFS) {
    uv_err_name_r(-error_number, name, sizeof(name));
    uv_strerror_r(-error_number, description, sizeof(description));
  }

  napi_value error = nullptr;
  napi_value number = nullptr;
  napi_value code = MakeString(env, name);
  napi_value message = MakeString(env, std::string(name) + ": " + description + ", " + syscall);
  napi_create_int32(env, -error_number, &number);
  if (napi_create_error(env, code, message, &error) != napi_ok) return nullptr;
  napi_set_named_property(env, error, "errno", number);
  napi_set_named_property(env, error, "syscall", MakeString(env, syscall));
  return error;
}

napi_value ThrowSystemError(napi_env env, int error_number, const char* syscall) {
  napi_value error = MakeSystemError(env, error_number, syscall);
  if (error != nullptr) napi_throw(env, error);
  return nullptr;
}

void ReportException(napi_env env, napi_status status) {
  bool pending = false;
  // No exception is pending when a worker is being terminated: nothing is to be reported then.
  if (status != napi_pending_exception || napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  napi_value error = nullptr;
  napi_get_and_clear_last_exception(env, &error);
  napi_fatal_exception(env, error);
}

}  // namespace grpcfd
