#include "file-status.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

namespace grpcfd {
namespace {

// `struct statx` of the kernel. The headers of the systems that prebuilt binaries are made on do not all have it.
struct Statx {
  uint32_t mask, block_size;
  uint64_t attributes;
  uint32_t links, uid, gid;
  uint16_t mode, spare0;
  uint64_t inode, size, blocks, attributes_mask;
  uint64_t times[8];
  uint32_t device_major, device_minor, on_major, on_minor;
  uint64_t spare[14];
};
static_assert(sizeof(Statx) == 256, "the kernel writes 256 bytes");

constexpr int kDontSync = 0x4000;           // AT_STATX_DONT_SYNC
constexpr unsigned kTypeModeInode = 0x103;  // STATX_TYPE | STATX_MODE | STATX_INO

int ReadOld(int directory, const char* path, int flags, FileStatus* out) {
  struct stat status;
  if (fstatat(directory, path, &status, flags) != 0) return errno;
  out->device = status.st_dev;
  out->inode = status.st_ino;
  out->mode = status.st_mode;
  out->device_major = major(status.st_rdev);
  out->device_minor = minor(status.st_rdev);
  return 0;
}

int Read(int directory, const char* path, int flags, FileStatus* out) {
  Statx status;
  if (syscall(SYS_statx, directory, path, flags | kDontSync, kTypeModeInode, &status) != 0) {
    // Kernels before 4.11, and sandboxes that do not know the system call.
    return errno == ENOSYS || errno == EPERM ? ReadOld(directory, path, flags, out) : errno;
  }
  out->device = makedev(status.on_major, status.on_minor);
  out->inode = status.inode;
  out->mode = status.mode;
  out->device_major = status.device_major;
  out->device_minor = status.device_minor;
  return 0;
}

}  // namespace

int ReadStatus(int fd, FileStatus* out) { return Read(fd, "", AT_EMPTY_PATH, out); }
int ReadStatus(const char* path, FileStatus* out) { return Read(AT_FDCWD, path, 0, out); }

}  // namespace grpcfd
