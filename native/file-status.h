#ifndef GRPCFD_FILE_STATUS_H_
#define GRPCFD_FILE_STATUS_H_

#include <cstdint>

namespace grpcfd {

// What the kernel knows about a file without asking anybody: `fstat` would ask the server of a FUSE or NFS file, and wait.
struct FileStatus {
  uint64_t device = 0;  // st_dev
  uint64_t inode = 0;   // st_ino
  uint32_t mode = 0;    // st_mode
  // Of the device that a device file stands for.
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
};

// What it takes to know how long the last close of a file would take.
struct ClosingStatus : FileStatus {
  uint32_t links = 0;
  uint64_t bytes = 0;  // that are stored, without holes
  uint64_t mount = 0;  // 0 before Linux 5.8
};

// Of a descriptor of any kind, O_PATH included. Returns 0 or an errno.
int ReadStatus(int fd, FileStatus* out);
// The same, and ENOSYS or EPERM where the kernel does not tell it without waiting: before Linux 4.11, and in old sandboxes.
int ReadStatus(int fd, ClosingStatus* out);
int ReadStatus(const char* path, FileStatus* out);

}  // namespace grpcfd

#endif  // GRPCFD_FILE_STATUS_H_
