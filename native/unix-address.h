#ifndef GRPCFD_UNIX_ADDRESS_H_
#define GRPCFD_UNIX_ADDRESS_H_

#include <sys/socket.h>
#include <sys/un.h>

#include "arguments.h"

namespace grpcfd {

// An address of exactly the given bytes: a path, or an abstract name, which starts with a NUL. An abstract name is every
// byte within the length, so padding would name another socket. A path may fill sun_path to the last byte: Linux
// puts its own NUL behind it.
struct UnixAddress {
  sockaddr_un address = {};
  socklen_t length = 0;

  // Returns 0 or an errno: EINVAL for no bytes (bind would pick a random name), ENAMETOOLONG for more than 108.
  int Set(Bytes name);
  const sockaddr* Get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

}  // namespace grpcfd

#endif  // GRPCFD_UNIX_ADDRESS_H_
