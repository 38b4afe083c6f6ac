// Any bytes as the name of a unix socket: what is made of them has to be read back as the same name.
#include "unix-address.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "socket-name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  grpcfd::UnixAddress made;
  const int error = made.Set({bytes.data(), bytes.size()});
  grpcfd::Check(error == (size == 0 ? EINVAL : size > sizeof(sockaddr_un::sun_path) ? ENAMETOOLONG : 0));
  if (error != 0) return 0;
  grpcfd::Check(made.length == offsetof(sockaddr_un, sun_path) + size);
  grpcfd::SocketAddress address = {};
  memcpy(&address, made.Get(), made.length);
  grpcfd::SocketName name;
  grpcfd::Check(grpcfd::ReadSocketName(address, made.length, &name));
  const std::string text(bytes.begin(), bytes.end());
  grpcfd::Check(name.address == (text[0] == '\0' ? text : text.substr(0, text.find('\0'))));
  return 0;
}
