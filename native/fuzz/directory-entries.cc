// Any bytes as what getdents64 has written.
#include "directory-entries.h"

#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const char* bytes = reinterpret_cast<const char*>(data);
  grpcfd::DirectoryReader reader(bytes, size);
  const char* behind_last = bytes;
  for (grpcfd::DirectoryEntry entry; reader.Next(&entry);) {
    grpcfd::Check(entry.name.data() > behind_last && entry.name.data() + entry.name.size() < bytes + size);
    grpcfd::Check(entry.name.find('\0') == std::string_view::npos && entry.name.data()[entry.name.size()] == '\0');
    behind_last = entry.name.data() + entry.name.size();
  }
  return 0;
}
