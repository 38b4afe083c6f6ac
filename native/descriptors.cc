#include <cerrno>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "fd-set.h"
#include "file-status.h"
#include "functions.h"
#include "inherited.h"
#include "own-fd.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// Hands a new descriptor to JavaScript, or throws the errno that `fd` < 0 stands for.
napi_value GiveDescriptor(napi_env env, int fd, const char* syscall) {
  if (fd < 0) return ThrowSystemError(env, errno, syscall);
  OwnFd owner(fd);
  napi_value value = nullptr;
  if (napi_create_int32(env, fd, &value) != napi_ok) return nullptr;
  static_cast<void>(owner.Release());
  return value;
}

napi_value Duplicate(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  Environment& environment = Environment::Of(env);
  const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  environment.SetAccount(duplicate, environment.AccountOf(fd));
  return GiveDescriptor(env, duplicate, "fcntl");
}

// duplicateToSend(fd, identity): a guarded duplicate, and device and inode of its file.
napi_value DuplicateToSend(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  uint64_t* identity = nullptr;
  if (!arguments.Int(0, &fd) || !arguments.Uint64s(1, 2, &identity)) return nullptr;
  Environment& environment = Environment::Of(env);
  OwnFd duplicate(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!duplicate.IsOpen()) return ThrowSystemError(env, errno, "fcntl");
  FileStatus status;
  if (const int error = ReadStatus(duplicate.Get(), &status); error != 0) return ThrowSystemError(env, error, "statx");
  identity[0] = status.device;
  identity[1] = status.inode;
  environment.SetAccount(duplicate.Get(), environment.AccountOf(fd));
  return environment.Give(env, std::move(duplicate));
}

// Replaces all numbers by guarded duplicates, or throws and makes no duplicate.
napi_value DuplicateAll(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  FdList descriptors;
  if (!arguments.CountedFds(0, &descriptors)) return nullptr;
  std::vector<OwnFd> duplicates;
  duplicates.reserve(descriptors.size);
  FdSet made;
  for (int fd : descriptors) {
    // A number that was not open a moment ago may now be the duplicate that was just made of another file.
    if (made.Has(fd)) return ThrowSystemError(env, EBADF, "fcntl");
    duplicates.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!duplicates.back().IsOpen()) return ThrowSystemError(env, errno, "fcntl");
    made.Add(duplicates.back().Get());
  }
  Environment& environment = Environment::Of(env);
  for (size_t i = 0; i < duplicates.size(); i++) {
    const uint32_t account = environment.AccountOf(descriptors.data[i]);
    descriptors.data[i] = duplicates[i].Release();
    environment.Guard(descriptors.data[i]);
    environment.SetAccount(descriptors.data[i], account);
  }
  return nullptr;
}

napi_value Guard(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (arguments.Int(0, &fd)) Environment::Of(env).Guard(fd);
  return nullptr;
}

napi_value Lend(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (arguments.Int(0, &fd)) Environment::Of(env).Lend(fd);
  return nullptr;
}

napi_value Unguard(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  Environment::Of(env).Unguard(fd);
  GiveOut(fd);
  return nullptr;
}

napi_value UnguardAll(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  FdList descriptors;
  if (!arguments.CountedFds(0, &descriptors)) return nullptr;
  Environment& environment = Environment::Of(env);
  for (int fd : descriptors) {
    environment.Unguard(fd);
    GiveOut(fd);
  }
  return nullptr;
}

napi_value Open(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  std::string path;
  int flags = 0;
  int mode = 0;
  if (!arguments.Path(0, &path) || !arguments.Int(1, &flags) || !arguments.Int(2, &mode)) return nullptr;
  Environment& environment = Environment::Of(env);
  int fd = -1;
  do {
    fd = openat(AT_FDCWD, path.c_str(), flags | O_CLOEXEC, static_cast<mode_t>(mode));
  } while (fd < 0 && errno == EINTR);
  environment.SetAccount(fd, 0);
  return GiveDescriptor(env, fd, "open");
}

// identify(descriptors, count, identities): device and inode of each.
napi_value Identify(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  FdList descriptors;
  uint64_t* identities = nullptr;
  if (!arguments.CountedFds(0, &descriptors) || !arguments.Uint64s(2, descriptors.size * 2, &identities)) return nullptr;
  for (int fd : descriptors) {
    FileStatus status;
    if (const int error = ReadStatus(fd, &status); error != 0) return ThrowSystemError(env, error, "statx");
    *identities++ = status.device;
    *identities++ = status.inode;
  }
  return nullptr;
}

napi_value StatusFlags(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return ThrowSystemError(env, errno, "fcntl");
  napi_value result = nullptr;
  napi_create_int32(env, flags, &result);
  return result;
}

napi_value SetCloseOnExec(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return ThrowSystemError(env, errno, "fcntl");
  return nullptr;
}

napi_value SystemError(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int number = 0;
  std::string syscall;
  if (!arguments.Int(0, &number) || !arguments.Path(1, &syscall)) return nullptr;
  return MakeSystemError(env, number, syscall.c_str());
}

}  // namespace

bool DefineDescriptorFunctions(napi_env env, napi_value exports) {
  // Node.js has neither of these, and they are not the same on every architecture.
  napi_value o_path = nullptr;
  napi_value too_many_refs = nullptr;
  return napi_create_int32(env, O_PATH, &o_path) == napi_ok &&
         napi_set_named_property(env, exports, "O_PATH", o_path) == napi_ok &&
         napi_create_int32(env, ETOOMANYREFS, &too_many_refs) == napi_ok &&
         napi_set_named_property(env, exports, "ETOOMANYREFS", too_many_refs) == napi_ok &&
         Define(env, exports,
                {{"duplicate", Duplicate},
                 {"duplicateToSend", DuplicateToSend},
                 {"duplicateAll", DuplicateAll},
                 {"guard", Guard},
                 {"lend", Lend},
                 {"unguard", Unguard},
                 {"unguardAll", UnguardAll},
                 {"open", Open},
                 {"identify", Identify},
                 {"statusFlags", StatusFlags},
                 {"setCloseOnExec", SetCloseOnExec},
                 {"systemError", SystemError}});
}

}  // namespace grpcfd
