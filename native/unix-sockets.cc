#include <cerrno>
#include <cstddef>
#include <cstring>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "file-status.h"
#include "functions.h"
#include "message.h"
#include "own-fd.h"
#include "socket-calls.h"
#include "system-error.h"
#include "unix-address.h"

namespace grpcfd {
namespace {

OwnFd NewSocket() { return OwnFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

// Applies connect or bind to a new socket.
napi_value MakeSocketAt(napi_env env, napi_callback_info info, int (*apply)(int, const sockaddr*, socklen_t),
                        const char* syscall) {
  const Arguments arguments(env, info);
  Bytes name;
  UnixAddress address;
  if (!arguments.GetBytes(0, &name)) return nullptr;
  if (const int error = address.Set(name); error != 0) return ThrowSystemError(env, error, syscall);
  OwnFd socket = NewSocket();
  if (!socket.IsOpen()) return ThrowSystemError(env, errno, "socket");
  if (apply(socket.Get(), address.Get(), address.length) != 0) return ThrowSystemError(env, errno, syscall);
  return Environment::Of(env).Give(env, std::move(socket));
}

napi_value ConnectUnix(napi_env env, napi_callback_info info) {
  return MakeSocketAt(env, info, connect, "connect");
}

napi_value BindUnix(napi_env env, napi_callback_info info) { return MakeSocketAt(env, info, bind, "bind"); }

napi_value PeerCredentials(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return ThrowSystemError(env, errno, "getsockopt");
  }
  napi_value result = nullptr;
  napi_value pid = nullptr;
  napi_value uid = nullptr;
  napi_value gid = nullptr;
  napi_create_object(env, &result);
  napi_create_int32(env, credentials.pid, &pid);
  napi_create_uint32(env, credentials.uid, &uid);
  napi_create_uint32(env, credentials.gid, &gid);
  napi_set_named_property(env, result, "pid", pid);
  napi_set_named_property(env, result, "uid", uid);
  napi_set_named_property(env, result, "gid", gid);
  return result;
}

// socketName(fd, ofPeer): the bytes of the address, none where it has no name.
napi_value SocketName(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  bool of_peer = false;
  if (!arguments.Int(0, &fd) || !arguments.Bool(1, &of_peer)) return nullptr;
  // The kernel puts a NUL behind a path, which may fill sun_path to the last byte.
  struct {
    sockaddr_un address;
    char room_for_nul;
  } name = {};
  socklen_t size = sizeof(name);
  auto* address = reinterpret_cast<sockaddr*>(&name.address);
  if ((of_peer ? getpeername : getsockname)(fd, address, &size) != 0) {
    return ThrowSystemError(env, errno, of_peer ? "getpeername" : "getsockname");
  }
  const char* path = name.address.sun_path;
  constexpr size_t kHeader = offsetof(sockaddr_un, sun_path);
  size_t length = size > kHeader ? size - kHeader : 0;
  if (length > 0 && path[0] != '\0') length = strnlen(path, length);
  napi_value result = nullptr;
  napi_create_buffer_copy(env, length, path, nullptr, &result);
  return result;
}

// boundFile(fd, identity): see src/native/types.ts.
napi_value BoundFile(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  uint64_t* identity = nullptr;
  if (!arguments.Int(0, &fd) || !arguments.Uint64s(1, 2, &identity)) return nullptr;
  napi_value result = nullptr;
  napi_get_boolean(env, FindFile(fd, &identity[0], &identity[1]), &result);
  return result;
}

napi_value IsListening(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int value = 0;
  socklen_t size = sizeof(value);
  if (!arguments.Int(0, &fd)) return nullptr;
  if (const int error = CheckUnixStream(fd); error != 0) return ThrowSystemError(env, error, "getsockopt");
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) != 0) return ThrowSystemError(env, errno, "getsockopt");
  napi_value result = nullptr;
  napi_get_boolean(env, value != 0, &result);
  return result;
}

// sendDatagram(name, bytes, descriptors, count): 0 or the negative errno.
napi_value SendDatagram(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bytes name;
  Bytes bytes;
  FdList descriptors;
  UnixAddress address;
  if (!arguments.GetBytes(0, &name) || !arguments.GetBytes(1, &bytes) || !arguments.CountedFds(2, &descriptors)) {
    return nullptr;
  }
  if (const int error = address.Set(name); error != 0) return MakeInt(env, -error);
  const OwnFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.IsOpen()) return MakeInt(env, -errno);
  iovec buffer = {bytes.data, bytes.size};
  const ssize_t sent = SendMessage(socket.Get(), &buffer, 1, descriptors.data, descriptors.size, &address);
  return MakeInt(env, sent < 0 ? sent : 0);
}

// The abstract name of every placeholder begins so, whatever the network namespace: the NUL and then this.
constexpr char kPlaceholderName[] = "grpcfd: the kernel refused this descriptor: ";

// What travels in place of a descriptor that the kernel refuses to send. A socket that is bound and does not listen is good for
// nothing and has an inode to itself, so a receiver that looks descriptors up by inode takes it for no other file. An eventfd
// would share its inode with all of its kind. Its name tells a receiver what it is.
napi_value Placeholder(napi_env env, napi_callback_info) {
  OwnFd socket = NewSocket();
  if (!socket.IsOpen()) return ThrowSystemError(env, errno, "socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, kPlaceholderName, sizeof(kPlaceholderName) - 1);
  uint64_t unique[2];
  // Without a name of its own the placeholder serves its purpose all the same.
  if (getrandom(unique, sizeof(unique), GRND_NONBLOCK) == static_cast<ssize_t>(sizeof(unique))) {
    memcpy(address.sun_path + sizeof(kPlaceholderName), unique, sizeof(unique));
    const socklen_t size = offsetof(sockaddr_un, sun_path) + sizeof(kPlaceholderName) + sizeof(unique);
    static_cast<void>(bind(socket.Get(), reinterpret_cast<const sockaddr*>(&address), size));
  }
  return Environment::Of(env).Give(env, std::move(socket));
}

// In the order of SOCKETS in src/native/types.ts.
enum SocketKind : int32_t { kNoSocket, kUnixSocket, kPlaceholder };

SocketKind KindOfSocket(int fd) {
  sockaddr_un address = {};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.sun_family != AF_UNIX) return kNoSocket;
  const bool named = address.sun_path[0] == '\0' && memcmp(address.sun_path + 1, kPlaceholderName, sizeof(kPlaceholderName) - 1) == 0;
  return named ? kPlaceholder : kUnixSocket;
}

// Asks twice: where the kernel had no memory for a moment, the descriptor would have no name for good.
bool IsTold(int fd, FileStatus* status) {
  for (int tries = 0; tries < 2; tries++) {
    if (ReadStatus(fd, status) == 0) return true;
  }
  return false;
}

// look(descriptors, count, identities): tells device and inode of each, and replaces each with its kind. The device and the inode are 0 where
// the kernel does not tell them.
napi_value Look(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  FdList descriptors;
  uint64_t* identities = nullptr;
  if (!arguments.CountedFds(0, &descriptors) || !arguments.Uint64s(2, descriptors.size * 2, &identities)) return nullptr;
  for (size_t i = 0; i < descriptors.size; i++) {
    int32_t& fd = descriptors.data[i];
    FileStatus status;
    const bool told = IsTold(fd, &status);
    *identities++ = told ? status.device : 0;
    *identities++ = told ? status.inode : 0;
    fd = told && !S_ISSOCK(status.mode) ? kNoSocket : KindOfSocket(fd);
  }
  return nullptr;
}

// Two connected sockets, both guarded.
napi_value SocketPair(napi_env env, napi_callback_info) {
  int descriptors[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, descriptors) != 0) {
    return ThrowSystemError(env, errno, "socketpair");
  }
  OwnFd first(descriptors[0]);
  OwnFd second(descriptors[1]);
  Environment& environment = Environment::Of(env);
  napi_value array = nullptr;
  if (napi_create_array_with_length(env, 2, &array) != napi_ok) return nullptr;
  napi_value a = environment.Give(env, std::move(first));
  napi_value b = environment.Give(env, std::move(second));
  if (napi_set_element(env, array, 0, a) != napi_ok || napi_set_element(env, array, 1, b) != napi_ok) return nullptr;
  return array;
}

}  // namespace

bool DefineUnixSocketFunctions(napi_env env, napi_value exports) {
  return Define(env, exports,
                {{"connectUnix", ConnectUnix},
                 {"bindUnix", BindUnix},
                 {"socketPair", SocketPair},
                 {"peerCredentials", PeerCredentials},
                 {"socketName", SocketName},
                 {"boundFile", BoundFile},
                 {"isListening", IsListening},
                 {"sendDatagram", SendDatagram},
                 {"placeholder", Placeholder},
                 {"look", Look}});
}

}  // namespace grpcfd
