#include "unix-address.h"

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace grpcfd {

int UnixAddress::Set(Bytes name) {
  if (name.size == 0) return EINVAL;
  if (name.size > sizeof(address.sun_path)) return ENAMETOOLONG;
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, name.data, name.size);
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size);
  return 0;
}

}  // namespace grpcfd
