#include "arguments.h"

#include <limits>

namespace grpcfd {

namespace {

bool ReadTypedArray(napi_env env, napi_value value, napi_typedarray_type expected, void** data, size_t* size) {
  napi_typedarray_type type = napi_int8_array;
  return napi_get_typedarray_info(env, value, &type, size, data, nullptr, nullptr) == napi_ok && type == expected;
}

}  // namespace

bool ReadBytes(napi_env env, napi_value value, Bytes* out) {
  void* data = nullptr;
  size_t size = 0;
  if (!ReadTypedArray(env, value, napi_uint8_array, &data, &size)) return false;
  *out = {static_cast<uint8_t*>(data), size};
  return true;
}

bool ReadFds(napi_env env, napi_value value, FdList* out) {
  void* data = nullptr;
  size_t size = 0;
  if (!ReadTypedArray(env, value, napi_int32_array, &data, &size)) return false;
  *out = {static_cast<int32_t*>(data), size};
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

bool Arguments::Fds(size_t index, FdList* out) const {
  return ReadFds(env_, values_[index], out) || Reject(index, "an Int32Array");
}

bool Arguments::CountedFds(size_t index, FdList* out) const {
  int count = 0;
  if (!Int(index + 1, &count)) return false;
  if (count == 0) return true;
  if (!Fds(index, out)) return false;
  if (count < 0 || static_cast<size_t>(count) > out->size) return Reject(index + 1, "a number of its elements");
  out->size = static_cast<size_t>(count);
  return true;
}

bool Arguments::Uint64s(size_t index, size_t size, uint64_t** out) const {
  void* data = nullptr;
  size_t room = 0;
  const bool read = ReadTypedArray(env_, values_[index], napi_biguint64_array, &data, &room);
  if (!read || room < size) return Reject(index, "a BigUint64Array with room for the result");
  *out = static_cast<uint64_t*>(data);
  return true;
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

bool Arguments::GetBytes(size_t index, Bytes* out) const {
  return ReadBytes(env_, values_[index], out) || Reject(index, "a Uint8Array");
}

bool Arguments::Path(size_t index, std::string* out) const {
  size_t length = 0;
  if (napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &length) != napi_ok) return Reject(index, "a string");
  out->resize(length);
  // napi writes a NUL behind the text, where std::string has one anyway.
  napi_get_value_string_utf8(env_, values_[index], out->data(), length + 1, &length);
  return out->find('\0') == std::string::npos || Reject(index, "a string without null bytes");
}

}  // namespace grpcfd
