// Any bytes as the address that getsockname has written: the first two are the size that it tells, which may be more than there was room for.
#include "socket-name.h"

#include <algorithm>
#include <cstring>

#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t told = data[0] | static_cast<size_t>(data[1] & 1) << 8;
  grpcfd::SocketAddress address = {};
  memcpy(&address, data + 2, std::min(size - 2, sizeof(address)));
  grpcfd::SocketName name;
  if (!grpcfd::ReadSocketName(address, told, &name)) return 0;
  grpcfd::Check(!name.address.empty() && name.address.size() <= sizeof(sockaddr_un::sun_path));
  grpcfd::Check(name.address.size() <= told || address.any.sa_family != AF_UNIX);
  if (address.any.sa_family != AF_UNIX || name.address[0] != '\0') grpcfd::Check(name.address.find('\0') == std::string::npos);
  return 0;
}
