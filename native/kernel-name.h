#ifndef GRPCFD_KERNEL_NAME_H_
#define GRPCFD_KERNEL_NAME_H_

#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <string_view>

namespace grpcfd {

// The name of an open file in /proc/self/fd, cut to 64 bytes. Empty without /proc. The kernel gives it to files on devices of its own, such as
// those of anonymous inodes and namespaces. It means nothing on others.
class KernelName {
 public:
  explicit KernelName(int fd) {
    char path[32];
    static_cast<void>(std::snprintf(path, sizeof(path), "/proc/self/fd/%d", fd));
    const ssize_t length = readlink(path, name_, sizeof(name_));
    length_ = length < 0 ? 0 : static_cast<size_t>(length);
  }

  std::string_view text() const { return {name_, length_}; }

 private:
  char name_[64];
  size_t length_ = 0;
};

}  // namespace grpcfd

#endif  // GRPCFD_KERNEL_NAME_H_
