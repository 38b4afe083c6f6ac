// Tells which namespace a descriptor is of.
#include <sys/ioctl.h>

#include <cerrno>

#include "arguments.h"
#include "define.h"
#include "functions.h"
#include "system-error.h"

namespace grpcfd {
namespace {

constexpr unsigned long kGetType = 0xb703;  // NS_GET_NSTYPE, Linux 4.11

// namespaceType(fd): the CLONE_NEW flag. EBADF: it is open with O_PATH.
napi_value NamespaceType(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  const int type = ioctl(fd, kGetType);
  if (type < 0) return ThrowSystemError(env, errno, "ioctl");
  napi_value result = nullptr;
  napi_create_int32(env, type, &result);
  return result;
}

}  // namespace

bool DefineNamespaceFunction(napi_env env, napi_value exports) {
  return Define(env, exports, {{"namespaceType", NamespaceType}});
}

}  // namespace grpcfd
