#include "directory-entries.h"

#include <cstddef>
#include <cstring>

namespace grpcfd {
namespace {

// What the kernel writes. Not every C library has it. The name follows right behind the type.
struct Header {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
};
constexpr size_t kName = offsetof(Header, type) + 1;

}  // namespace

bool DirectoryReader::Next(DirectoryEntry* entry) {
  Header header = {};
  if (rest_.size() <= kName) return false;
  memcpy(&header, rest_.data(), kName);
  if (header.length <= kName || header.length > rest_.size()) return false;
  const std::string_view name = rest_.substr(kName, header.length - kName);
  const size_t end = name.find('\0');
  if (end == std::string_view::npos) return false;
  entry->type = header.type;
  entry->name = name.substr(0, end);
  rest_.remove_prefix(header.length);
  return true;
}

}  // namespace grpcfd
