#ifndef GRPCFD_DIRECTORY_ENTRIES_H_
#define GRPCFD_DIRECTORY_ENTRIES_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace grpcfd {

struct DirectoryEntry {
  // DT_REG and so on.
  uint8_t type = 0;
  // It lies in the memory that is read. A NUL follows it.
  std::string_view name;
};

// Reads what getdents64 has written, entry by entry. It trusts no length in there.
class DirectoryReader {
 public:
  // The memory stays where it is, and has any alignment.
  DirectoryReader(const char* data, size_t size) : rest_(data, size) {}

  // False at the end, and where an entry is cut.
  bool Next(DirectoryEntry* entry);

 private:
  std::string_view rest_;
};

}  // namespace grpcfd

#endif  // GRPCFD_DIRECTORY_ENTRIES_H_
