// Tells what a socket is, of any family, and changes its options. Nothing here waits.
#include <sys/socket.h>

#include <cerrno>

#include "arguments.h"
#include "define.h"
#include "functions.h"
#include "own-fd.h"
#include "socket-calls.h"
#include "socket-name.h"
#include "system-error.h"
#include "unix-address.h"

namespace grpcfd {
namespace {

// {address, port}, or undefined where the socket has no name.
napi_value MakeEndpoint(napi_env env, const SocketAddress& address, socklen_t size) {
  SocketName name;
  if (!ReadSocketName(address, size, &name)) {
    napi_value undefined = nullptr;
    napi_get_undefined(env, &undefined);
    return undefined;
  }
  napi_value endpoint = nullptr;
  napi_value value = nullptr;
  napi_create_object(env, &endpoint);
  napi_create_string_utf8(env, name.address.data(), name.address.size(), &value);
  napi_set_named_property(env, endpoint, "address", value);
  napi_create_uint32(env, name.port, &value);
  napi_set_named_property(env, endpoint, "port", value);
  return endpoint;
}

bool Option(int fd, int option, int* out) {
  socklen_t size = sizeof(*out);
  return getsockopt(fd, SOL_SOCKET, option, out, &size) == 0;
}

void SetInt(napi_env env, napi_value object, const char* name, int number) {
  napi_value value = nullptr;
  napi_create_int32(env, number, &value);
  napi_set_named_property(env, object, name, value);
}

void SetBool(napi_env env, napi_value object, const char* name, bool flag) {
  napi_value value = nullptr;
  napi_get_boolean(env, flag, &value);
  napi_set_named_property(env, object, name, value);
}

// describeSocket(fd): see src/native/socket-types.ts.
napi_value DescribeSocket(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  int family = 0;
  int type = 0;
  int protocol = 0;
  int listening = 0;
  if (!Option(fd, SO_DOMAIN, &family) || !Option(fd, SO_TYPE, &type) || !Option(fd, SO_PROTOCOL, &protocol)) {
    return ThrowSystemError(env, errno, "getsockopt");
  }
  // Some families do not know it, and never listen.
  if (!Option(fd, SO_ACCEPTCONN, &listening) && errno != ENOPROTOOPT && errno != EOPNOTSUPP) {
    return ThrowSystemError(env, errno, "getsockopt");
  }
  napi_value result = nullptr;
  napi_create_object(env, &result);
  SetInt(env, result, "family", family);
  SetInt(env, result, "type", type);
  SetInt(env, result, "protocol", protocol);
  SetBool(env, result, "listening", listening != 0);
  SocketAddress address = {};
  socklen_t size = sizeof(address);
  if (getsockname(fd, &address.any, &size) != 0) return ThrowSystemError(env, errno, "getsockname");
  napi_set_named_property(env, result, "local", MakeEndpoint(env, address, size));
  address = {};
  size = sizeof(address);
  const bool connected = getpeername(fd, &address.any, &size) == 0;
  // Some families have no peers.
  if (!connected && errno != ENOTCONN && errno != EOPNOTSUPP) return ThrowSystemError(env, errno, "getpeername");
  SetBool(env, result, "connected", connected);
  napi_set_named_property(env, result, "remote", MakeEndpoint(env, address, connected ? size : 0));
  return result;
}

// isSocketFileServed(path): see src/native/socket-types.ts.
napi_value IsSocketFileServed(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bytes name;
  UnixAddress address;
  if (!arguments.GetBytes(0, &name)) return nullptr;
  if (const int error = address.Set(name); error != 0) return ThrowSystemError(env, error, "connect");
  napi_value result = nullptr;
  napi_get_boolean(env, ProbeSocketFile(address) != ECONNREFUSED, &result);
  return result;
}

// reusesAddress(fd): SO_REUSEADDR.
napi_value ReusesAddress(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int value = 0;
  if (!arguments.Int(0, &fd)) return nullptr;
  if (!Option(fd, SO_REUSEADDR, &value)) return ThrowSystemError(env, errno, "getsockopt");
  napi_value result = nullptr;
  napi_get_boolean(env, value != 0, &result);
  return result;
}

// setReusesAddress(fd, wanted): SO_REUSEADDR.
napi_value SetReusesAddress(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  bool wanted = false;
  if (!arguments.Int(0, &fd) || !arguments.Bool(1, &wanted)) return nullptr;
  const int value = wanted ? 1 : 0;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)) != 0) {
    return ThrowSystemError(env, errno, "setsockopt");
  }
  return nullptr;
}

// dontLinger(fd): clears a time of SO_LINGER. A reset at the close (a time of 0) does not wait, and stays.
napi_value DontLinger(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  linger time = {};
  socklen_t size = sizeof(time);
  if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &time, &size) != 0) return ThrowSystemError(env, errno, "getsockopt");
  if (time.l_onoff == 0 || time.l_linger == 0) return nullptr;
  time = {};
  if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &time, sizeof(time)) != 0) return ThrowSystemError(env, errno, "setsockopt");
  return nullptr;
}

}  // namespace

bool DefineSocketInfoFunctions(napi_env env, napi_value exports) {
  return Define(env, exports,
                {{"describeSocket", DescribeSocket},
                 {"dontLinger", DontLinger},
                 {"isSocketFileServed", IsSocketFileServed},
                 {"reusesAddress", ReusesAddress},
                 {"setReusesAddress", SetReusesAddress}});
}

}  // namespace grpcfd
