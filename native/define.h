#ifndef GRPCFD_DEFINE_H_
#define GRPCFD_DEFINE_H_

#include <node_api.h>

#include <initializer_list>

namespace grpcfd {

struct Function {
  const char* name;
  napi_callback callback;
};

// Makes each function a property of `target`.
inline bool Define(napi_env env, napi_value target, std::initializer_list<Function> functions) {
  for (const Function& function : functions) {
    napi_value value = nullptr;
    if (napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.callback, nullptr, &value) != napi_ok ||
        napi_set_named_property(env, target, function.name, value) != napi_ok) {
      return false;
    }
  }
  return true;
}

}  // namespace grpcfd

#endif  // GRPCFD_DEFINE_H_
