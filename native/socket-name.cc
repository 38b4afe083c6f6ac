#include "socket-name.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace grpcfd {
namespace {

constexpr size_t kUnixHeader = offsetof(sockaddr_un, sun_path);

// The path or the abstract name of a unix socket.
std::string UnixName(const SocketAddress& address, size_t size) {
  const char* path = address.local.name.sun_path;
  size_t length = std::min(size - kUnixHeader, sizeof(address.local.name.sun_path));
  if (length > 0 && path[0] != '\0') length = strnlen(path, length);
  return {path, length};
}

std::string Ipv6Text(const sockaddr_in6& address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof(text));
  // Without the number of its network interface, such an address cannot be connected to.
  return address.sin6_scope_id == 0 ? text : std::string(text) + "%" + std::to_string(address.sin6_scope_id);
}

}  // namespace

bool ReadSocketName(const SocketAddress& address, size_t size, SocketName* out) {
  if (size < sizeof(sa_family_t)) return false;
  char v4[INET_ADDRSTRLEN] = "";
  switch (address.any.sa_family) {
    case AF_UNIX:
      if (size <= kUnixHeader) return false;
      out->address = UnixName(address, size);
      return !out->address.empty();
    case AF_INET:
      inet_ntop(AF_INET, &address.v4.sin_addr, v4, sizeof(v4));
      out->address = v4;
      out->port = ntohs(address.v4.sin_port);
      return true;
    case AF_INET6:
      out->address = Ipv6Text(address.v6);
      out->port = ntohs(address.v6.sin6_port);
      return true;
    case AF_VSOCK:
      out->address = std::to_string(address.vm.svm_cid);
      out->port = address.vm.svm_port;
      return true;
    default:
      return false;
  }
}

}  // namespace grpcfd
