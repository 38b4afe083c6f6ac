#ifndef GRPCFD_DEFINE_H_
#define GRPCFD_DEFINE_H_

#include <node_api.h>

#include <initializer_list>
#include <vector>

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

// Makes a class of JavaScript. nullptr where that fails.
inline napi_value DefineClass(napi_env env, const char* name, napi_callback construct,
                              std::initializer_list<Function> methods) {
  std::vector<napi_property_descriptor> properties;
  for (const Function& method : methods) {
    napi_property_descriptor property = {};
    property.utf8name = method.name;
    property.method = method.callback;
    property.attributes = napi_default_method;
    properties.push_back(property);
  }
  napi_value constructor = nullptr;
  napi_define_class(env, name, NAPI_AUTO_LENGTH, construct, nullptr, properties.size(), properties.data(), &constructor);
  return constructor;
}

}  // namespace grpcfd

#endif  // GRPCFD_DEFINE_H_
