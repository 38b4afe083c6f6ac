#ifndef GRPCFD_ARGUMENTS_H_
#define GRPCFD_ARGUMENTS_H_

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace grpcfd {

// Memory of a Uint8Array. Valid until JavaScript runs again.
struct Bytes {
  uint8_t* data = nullptr;
  size_t size = 0;
};

// Descriptors, in memory of an Int32Array. Valid until JavaScript runs again.
struct FdList {
  int32_t* data = nullptr;
  size_t size = 0;

  const int32_t* begin() const { return data; }
  const int32_t* end() const { return data + size; }
};

// The arguments of one call from JavaScript. Each reader returns false with a TypeError pending when the argument is of
// the wrong type. Whether a value is allowed is checked by the caller and the kernel.
class Arguments {
 public:
  static constexpr size_t kMaxArguments = 6;

  Arguments(napi_env env, napi_callback_info info);

  napi_value self() const { return self_; }
  napi_value operator[](size_t index) const { return values_[index]; }

  bool Int(size_t index, int* out) const;
  // An Int32Array, because each element of an ordinary array takes two calls into the engine.
  bool Fds(size_t index, FdList* out) const;
  // The same, cut to the number of elements that the next argument gives. With 0 elements, the array is not read.
  bool CountedFds(size_t index, FdList* out) const;
  // An integer that is at least 0 and exact as a double.
  bool Size(size_t index, size_t* out) const;
  bool Bool(size_t index, bool* out) const;
  bool GetBytes(size_t index, Bytes* out) const;
  // A BigUint64Array of at least `size` elements.
  bool Uint64s(size_t index, size_t size, uint64_t** out) const;
  // A string without NUL characters, as every path must be.
  bool Path(size_t index, std::string* out) const;

 private:
  bool Reject(size_t index, const char* expected) const;

  napi_env env_;
  napi_value self_ = nullptr;
  napi_value values_[kMaxArguments] = {};
};

// Memory of `value` if it is a Uint8Array (a Buffer is one).
bool ReadBytes(napi_env env, napi_value value, Bytes* out);

// Memory of `value` if it is an Int32Array.
bool ReadFds(napi_env env, napi_value value, FdList* out);

// Accepts only integers that fit an int: NaN, fractions and 2^32 + 1 would otherwise become the number of some descriptor.
bool ReadInt(napi_env env, napi_value value, int* out);

}  // namespace grpcfd

#endif  // GRPCFD_ARGUMENTS_H_
