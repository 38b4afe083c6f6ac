#include <node_api.h>

#include "bridge.h"
#include "environment.h"
#include "functions.h"
#include "socket-handle.h"

NAPI_MODULE_INIT() {
  using namespace grpcfd;
  if (!Environment::Install(env) || !DefineDescriptorFunctions(env, exports) || !DefineUnixSocketFunctions(env, exports) ||
      !DefineInheritedFunction(env, exports) || !DefineSocketFileFunction(env, exports) || !DefineFileKindFunction(env, exports) ||
      !DefineMemoryFunctions(env, exports) || !DefineMappingFunctions(env, exports) ||
      !DefineWithoutWaitingFunctions(env, exports) || !DefineOpenerFunction(env, exports) ||
      !DefineDirectoryFunction(env, exports) || !DefineSocketDialFunction(env, exports) || !DefineThreadsFunction(env, exports) ||
      !DefineNamespaceFunction(env, exports) || !DefineEventFdFunctions(env, exports) || !DefineSocketInfoFunctions(env, exports) ||
      !DefinePipeNameFunction(env, exports) || !DefinePeerFunctions(env, exports) || !DefineClosingFunctions(env, exports) ||
      !DefineTestingFunctions(env, exports)) {
    napi_throw_error(env, nullptr, "the addon could not be set up");
    return nullptr;
  }
  napi_set_named_property(env, exports, "Bridge", Bridge::DefineClass(env));
  napi_set_named_property(env, exports, "SocketHandle", SocketHandle::DefineClass(env));
  // The loader compares it with its own: an addon that was left beside a bundle may be an older one.
  napi_value version = nullptr;
  if (napi_create_string_utf8(env, GRPCFD_VERSION, NAPI_AUTO_LENGTH, &version) == napi_ok) {
    napi_set_named_property(env, exports, "version", version);
  }
  return exports;
}
