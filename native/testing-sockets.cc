// A socket for the tests whose close waits.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
#include "system-error.h"

namespace grpcfd {
namespace {

constexpr int kLingerSeconds = 3600;

// Both ends of a TCP connection within this machine. Returns 0 or an errno.
int Connect(OwnFd* one, OwnFd* other) {
  OwnFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  *one = OwnFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.IsOpen() || !one->IsOpen()) return errno;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* name = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener.Get(), name, size) != 0 || listen(listener.Get(), 1) != 0 || getsockname(listener.Get(), name, &size) != 0 ||
      connect(one->Get(), name, size) != 0) {
    return errno;
  }
  *other = OwnFd(accept4(listener.Get(), nullptr, nullptr, SOCK_CLOEXEC));
  return other->IsOpen() ? 0 : errno;
}

// lingeringSocket(): [socket, peer]. The last close of the socket waits until the peer is closed, or an hour.
napi_value LingeringSocket(napi_env env, napi_callback_info) {
  OwnFd lingering;
  OwnFd peer;
  if (const int error = Connect(&lingering, &peer); error != 0) return ThrowSystemError(env, error, "connect");
  const char bytes[64 * 1024] = {};
  while (send(lingering.Get(), bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
  }
  const linger option = {1, kLingerSeconds};
  if (setsockopt(lingering.Get(), SOL_SOCKET, SO_LINGER, &option, sizeof(option)) != 0) {
    return ThrowSystemError(env, errno, "setsockopt");
  }
  Environment& environment = Environment::Of(env);
  napi_value pair = nullptr;
  napi_create_array_with_length(env, 2, &pair);
  napi_set_element(env, pair, 0, environment.Give(env, std::move(lingering)));
  napi_set_element(env, pair, 1, environment.Give(env, std::move(peer)));
  return pair;
}

}  // namespace

bool DefineTestingSocketFunction(napi_env env, napi_value testing) {
  return Define(env, testing, {{"lingeringSocket", LingeringSocket}});
}

}  // namespace grpcfd
