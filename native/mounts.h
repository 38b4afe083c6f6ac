#ifndef GRPCFD_MOUNTS_H_
#define GRPCFD_MOUNTS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "own-fd.h"

namespace grpcfd {

// How a file system closes its files. It is known of those that are parts of the kernel and ask nobody.
enum class FileSystem {
  // It may ask a server, or is not known.
  kUnknown,
  // It keeps its files in memory. The last close of a removed file takes as long as its size demands.
  kMemory,
  // It keeps its files on a disk. The last close of a removed file waits for the disk.
  kDisk,
};

// The file systems that are mounted for this process, as /proc/self/mountinfo lists them. A number of a device or of a mount names the next
// one as soon as its mount has gone. So the table is made anew when the kernel tells that mounts have changed. A mount that is listed also
// keeps its file system: closing a file in it does not unmount anything.
class Mounts {
 public:
  // Opens the list, and does not read it yet. Without a call of it, Update does so, unless the table of descriptors is full by then.
  void Open();

  // Looks for changes. Call it before Find, once for several files.
  void Update();

  // Of the file with these st_dev and mount id, as of the last Update. A file of another mount namespace has a mount id that is not known,
  // and a subvolume of btrfs, or a layer of overlayfs, a device. One of the two is enough.
  FileSystem Find(uint64_t device, uint64_t mount) const;

  // Closes the list, and forgets it.
  void Close();

 private:
  bool HasChanged() const;
  bool Read(std::string* text) const;
  void Parse(std::string_view text);

  OwnFd list_;
  bool is_read_ = false;
  std::unordered_map<uint64_t, FileSystem> devices_;
  std::unordered_map<uint64_t, FileSystem> mounts_;
};

}  // namespace grpcfd

#endif  // GRPCFD_MOUNTS_H_
