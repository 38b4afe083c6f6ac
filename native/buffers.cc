#include <node_api.h>

#include "arguments.h"
#include "define.h"
#include "functions.h"

namespace grpcfd {
namespace {

// A view that does not cover all of its memory shares it with others.
bool CoversMemory(napi_env env, size_t size, napi_value memory) {
  size_t capacity = 0;
  return napi_get_arraybuffer_info(env, memory, nullptr, &capacity) == napi_ok && size == capacity;
}

napi_value FreeBuffers(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  uint32_t length = 0;
  napi_get_array_length(env, arguments[0], &length);
  for (uint32_t i = 0; i < length; i++) {
    napi_value view = nullptr;
    napi_value memory = nullptr;
    size_t size = 0;
    if (napi_get_element(env, arguments[0], i, &view) != napi_ok ||
        napi_get_typedarray_info(env, view, nullptr, &size, nullptr, &memory, nullptr) != napi_ok) {
      napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument 0 must be an array of Uint8Array");
      return nullptr;
    }
    if (CoversMemory(env, size, memory)) napi_detach_arraybuffer(env, memory);
  }
  return nullptr;
}

}  // namespace

bool DefineBufferFunctions(napi_env env, napi_value exports) {
  return Define(env, exports, {{"freeBuffers", FreeBuffers}});
}

}  // namespace grpcfd
