#include <cerrno>
#include <sys/socket.h>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
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

// Makes a placeholder, which travels in place of a descriptor that the kernel refuses to send. An unconnected socket is useless and
// has its own inode, so a receiver that looks descriptors up by inode cannot confuse it with another file. An eventfd
// would share its inode with all of its kind.
napi_value Placeholder(napi_env env, napi_callback_info) {
  OwnFd socket = NewSocket();
  if (!socket.IsOpen()) return ThrowSystemError(env, errno, "socket");
  return Environment::Of(env).Give(env, std::move(socket));
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
                 {"placeholder", Placeholder}});
}

}  // namespace grpcfd
