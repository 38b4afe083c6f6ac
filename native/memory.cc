#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
#include "system-error.h"

namespace grpcfd {
namespace {

napi_value MakeNumber(napi_env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return value;
}

napi_value MemFd(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  std::string name;
  size_t size = 0;
  int flags = 0;
  if (!arguments.Path(0, &name) || !arguments.Size(1, &size) || !arguments.Int(2, &flags)) return nullptr;
  OwnFd memory(memfd_create(name.c_str(), static_cast<unsigned>(flags) | MFD_CLOEXEC));
  if (!memory.IsOpen()) return ThrowSystemError(env, errno, "memfd_create");
  if (ftruncate(memory.Get(), static_cast<off_t>(size)) != 0) return ThrowSystemError(env, errno, "ftruncate");
  return Environment::Of(env).Give(env, std::move(memory));
}

napi_value AddSeals(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int seals = 0;
  if (!arguments.Int(0, &fd) || !arguments.Int(1, &seals)) return nullptr;
  if (fcntl(fd, F_ADD_SEALS, seals) != 0) return ThrowSystemError(env, errno, "fcntl");
  return nullptr;
}

napi_value GetSeals(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  const int seals = fcntl(fd, F_GET_SEALS);
  return seals < 0 ? ThrowSystemError(env, errno, "fcntl") : MakeNumber(env, seals);
}

napi_value FileSystemType(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  struct statfs status;
  if (!arguments.Int(0, &fd)) return nullptr;
  if (fstatfs(fd, &status) != 0) return ThrowSystemError(env, errno, "fstatfs");
  // The magic numbers have 32 bits; the field is signed, and of another width on some architectures.
  return MakeNumber(env, static_cast<uint32_t>(status.f_type));
}

}  // namespace

bool DefineMemoryFunctions(napi_env env, napi_value exports) {
  return Define(env, exports,
                {{"memFd", MemFd}, {"addSeals", AddSeals}, {"getSeals", GetSeals}, {"fileSystemType", FileSystemType}});
}

}  // namespace grpcfd
