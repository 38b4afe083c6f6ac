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
  return exports;
}
