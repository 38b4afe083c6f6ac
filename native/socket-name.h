#ifndef GRPCFD_SOCKET_NAME_H_
#define GRPCFD_SOCKET_NAME_H_

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
// After sys/socket.h, which old versions of it need.
#include <linux/vm_sockets.h>

#include <cstdint>
#include <string>

namespace grpcfd {

// Room for what getsockname and getpeername write.
union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_vm vm;
  // The kernel puts a NUL behind a path, which may fill sun_path to the last byte.
  struct {
    sockaddr_un name;
    char room_for_nul;
  } local;
  sockaddr_storage room;
};

struct SocketName {
  // A path, an abstract name, which starts with a NUL, or the text of an IP address.
  std::string address;
  uint32_t port = 0;
};

// `size` is what the kernel has told, which may be more than it had room for. False where the socket has no name, or one of a family that is
// not known.
bool ReadSocketName(const SocketAddress& address, size_t size, SocketName* out);

}  // namespace grpcfd

#endif  // GRPCFD_SOCKET_NAME_H_
