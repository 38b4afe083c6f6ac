#include "control-data.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace grpcfd {
namespace {

// CMSG_ALIGN, which is not in every C library.
constexpr size_t Align(size_t size) { return (size + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1); }

constexpr size_t kHeader = Align(sizeof(cmsghdr));
static_assert(kHeader == CMSG_LEN(0), "the data of a piece follows its header");

}  // namespace

int ControlItem::Descriptor(size_t index) const {
  int fd = -1;
  memcpy(&fd, data + index * sizeof(fd), sizeof(fd));
  return fd;
}

bool ControlReader::Next(ControlItem* item) {
  if (left_ < kHeader) return false;
  cmsghdr header;
  memcpy(&header, rest_, sizeof(header));
  // musl has a length of 32 bits.
  const size_t length = std::min<size_t>(header.cmsg_len, left_);
  if (length < kHeader) return false;
  *item = {header.cmsg_level, header.cmsg_type, rest_ + kHeader, length - kHeader};
  const size_t step = std::min(Align(length), left_);
  rest_ += step;
  left_ -= step;
  return true;
}

}  // namespace grpcfd
