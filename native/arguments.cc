#include "arguments.h"

#include <limits>

namespace grpcfd {

bool ReadBytes(napi_env env, napi_value value, Bytes* out) {
  napi_typedarray_type type;
  void* data = nullptr;
  size_t size = 0;
  if (napi_get_typedarray_info(env, value, &type, &size, &data, nullptr, nullptr) != napi_ok) return false;
  if (type != napi_uint8_array) return false;
  *out = {static_cast<uint8_t*>(data), size};
  return true;
}

bool ReadInt(napi_env env, napi_value value, int* out) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  if (!(number >= std::numeric_limits<int>::min() && number <= std::numeric_limits<int>::max())) return false;
  *out = static_cast<int>(number);
  return *out == number;
}

Arguments::Arguments(napi_env env, napi_callback_info info) : env_(env) {
  size_t count = kMaxArguments;
  napi_get_cb_info(env, info, &count, values_, &self_, nullptr);
}

bool Arguments::Reject(size_t index, const char* expected) const {
  const std::string message = "argument " + std::to_string(index) + " must be " + expected;
  napi_throw_type_error(env_, "ERR_INVALID_ARG_TYPE", message.c_str());
  return false;
}

bool Arguments::Int(size_t index, int* out) const {
  return ReadInt(env_, values_[index], out) || Reject(index, "a 32-bit integer");
}

bool Arguments::Size(size_t index, size_t* out) const {
  constexpr double kMaxExact = 9007199254740991;  // 2^53 - 1
  double number = -1;
  napi_get_value_double(env_, values_[index], &number);
  if (!(number >= 0 && number <= kMaxExact)) return Reject(index, "an integer from 0 to 2^53-1");
  *out = static_cast<size_t>(number);
  return static_cast<double>(*out) == number || Reject(index, "an integer from 0 to 2^53-1");
}

bool Arguments::Bool(size_t index, bool* out) const {
  return napi_get_value_bool(env_, values_[index], out) == napi_ok || Reject(index, "a boolean");
}

bool Arguments::Ints(size_t index, std::vector<int>* out) const {
  uint32_t length = 0;
  if (napi_get_array_length(env_, values_[index], &length) != napi_ok) return Reject(index, "an array");
  out->resize(length);
  for (uint32_t i = 0; i < length; i++) {
    napi_value element = nullptr;
    if (napi_get_element(env_, values_[index], i, &element) != napi_ok || !ReadInt(env_, element, &(*out)[i])) {
      return Reject(index, "an array of 32-bit integers");
    }
  }
  return true;
}

bool Arguments::GetBytes(size_t index, Bytes* out) const {
  return ReadBytes(env_, values_[index], out) || Reject(index, "a Uint8Array");
}

bool Arguments::Path(size_t index, std::string* out) const {
  size_t length = 0;
  if (napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &length) != napi_ok) return Reject(index, "a string");
  out->resize(length);
  // Writes a NUL behind the text, into the one that std::string keeps there anyway.
  napi_get_value_string_utf8(env_, values_[index], out->data(), length + 1, &length);
  return out->find('\0') == std::string::npos || Reject(index, "a string without null bytes");
}

}  // namespace grpcfd
