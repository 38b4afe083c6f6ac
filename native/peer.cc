// Tells more of the process at the other end of a unix socket, and refuses descriptors from it. Nothing here waits.
#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// The same on x64 and arm64. Headers of glibc 2.28 lack the newer ones.
constexpr int kPeerSecurity = 31;   // SO_PEERSEC
constexpr int kPeerGroups = 59;     // SO_PEERGROUPS, Linux 4.13
constexpr int kPeerPidFd = 77;      // SO_PEERPIDFD, Linux 6.5
constexpr int kPassRights = 83;     // SO_PASSRIGHTS, Linux 6.16

// The kernel has no such option, or knows nothing that it could tell.
bool IsUnknown(int error) {
  return error == ENOPROTOOPT || error == ENODATA || error == EOPNOTSUPP || error == EINVAL || error == ESRCH;
}

// Reads an option of any size, in elements of T. Returns 0 or an errno.
template <typename T>
int ReadOption(int fd, int option, size_t expected, std::vector<T>* out) {
  out->resize(expected);
  for (;;) {
    auto size = static_cast<socklen_t>(out->size() * sizeof(T));
    if (getsockopt(fd, SOL_SOCKET, option, out->data(), &size) == 0) {
      out->resize(size / sizeof(T));
      return 0;
    }
    // The kernel has written the size that it needs.
    if (errno != ERANGE || size <= out->size() * sizeof(T)) return errno;
    out->resize(size / sizeof(T));
  }
}

napi_value Undefined(napi_env env) {
  napi_value result = nullptr;
  napi_get_undefined(env, &result);
  return result;
}

// peerGroups(fd): an array of group ids, or undefined.
napi_value PeerGroups(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  std::vector<gid_t> groups;
  const int error = ReadOption(fd, kPeerGroups, 32, &groups);
  if (IsUnknown(error)) return Undefined(env);
  if (error != 0) return ThrowSystemError(env, error, "getsockopt");
  napi_value result = nullptr;
  if (napi_create_array_with_length(env, groups.size(), &result) != napi_ok) return nullptr;
  uint32_t index = 0;
  for (const gid_t id : groups) {
    napi_value group = nullptr;
    napi_create_uint32(env, id, &group);
    if (napi_set_element(env, result, index++, group) != napi_ok) return nullptr;
  }
  return result;
}

// peerLabel(fd): the text, or undefined.
napi_value PeerLabel(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  std::vector<char> label;
  const int error = ReadOption(fd, kPeerSecurity, 256, &label);
  if (IsUnknown(error)) return Undefined(env);
  if (error != 0) return ThrowSystemError(env, error, "getsockopt");
  // SELinux counts the NUL at the end, others do not.
  while (!label.empty() && label.back() == '\0') label.pop_back();
  if (label.empty()) return Undefined(env);
  napi_value result = nullptr;
  napi_create_string_utf8(env, label.data(), label.size(), &result);
  return result;
}

// peerPidFd(fd): a guarded descriptor, or undefined.
napi_value PeerPidFd(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int pidfd = -1;
  socklen_t size = sizeof(pidfd);
  if (!arguments.Int(0, &fd)) return nullptr;
  if (getsockopt(fd, SOL_SOCKET, kPeerPidFd, &pidfd, &size) != 0) {
    return IsUnknown(errno) ? Undefined(env) : ThrowSystemError(env, errno, "getsockopt");
  }
  return Environment::Of(env).Give(env, OwnFd(pidfd));
}

// refuseRights(fd): whether the kernel does that. Where it fails, what comes is closed as on a kernel that cannot.
napi_value RefuseRights(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  const int off = 0;
  if (!arguments.Int(0, &fd)) return nullptr;
  const bool done = setsockopt(fd, SOL_SOCKET, kPassRights, &off, sizeof(off)) == 0;
  napi_value result = nullptr;
  napi_get_boolean(env, done, &result);
  return result;
}

}  // namespace

bool DefinePeerFunctions(napi_env env, napi_value exports) {
  return Define(env, exports,
                {{"peerGroups", PeerGroups},
                 {"peerLabel", PeerLabel},
                 {"peerPidFd", PeerPidFd},
                 {"refuseRights", RefuseRights}});
}

}  // namespace grpcfd
