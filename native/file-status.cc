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
  uint64_t mount;
  uint64_t spare[13];
};
static_assert(sizeof(Statx) == 256, "the kernel writes 256 bytes");

constexpr int kDontSync = 0x4000;           // AT_STATX_DONT_SYNC
// STATX_TYPE, STATX_MODE and STATX_INO. The kernel tells links and blocks without being asked, where it has them. Asked for blocks, CIFS
// would wait until its server has got what was written.
constexpr unsigned kTypeModeInode = 0x103;
constexpr unsigned kMount = 0x1000;         // STATX_MNT_ID
constexpr unsigned kLinksAndBlocks = 0x404;  // STATX_NLINK | STATX_BLOCKS
constexpr uint64_t kBlock = 512;

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

int ReadNew(int directory, const char* path, int flags, unsigned mask, Statx* status, FileStatus* out) {
  if (syscall(SYS_statx, directory, path, flags | kDontSync, mask, status) != 0) return errno;
  out->device = makedev(status->on_major, status->on_minor);
  out->inode = status->inode;
  out->mode = status->mode;
  out->device_major = status->device_major;
  out->device_minor = status->device_minor;
  return 0;
}

int Read(int directory, const char* path, int flags, FileStatus* out) {
  Statx status;
  const int error = ReadNew(directory, path, flags, kTypeModeInode, &status, out);
  // Kernels before 4.11, and sandboxes that do not know the system call.
  return error == ENOSYS || error == EPERM ? ReadOld(directory, path, flags, out) : error;
}

}  // namespace

int ReadStatus(int fd, FileStatus* out) { return Read(fd, "", AT_EMPTY_PATH, out); }

int ReadStatus(int fd, ClosingStatus* out) {
  Statx status;
  if (const int error = ReadNew(fd, "", AT_EMPTY_PATH, kTypeModeInode | kMount, &status, out); error != 0) return error;
  if ((status.mask & kLinksAndBlocks) != kLinksAndBlocks) return EOPNOTSUPP;
  out->links = status.links;
  out->bytes = status.blocks * kBlock;
  out->mount = (status.mask & kMount) != 0 ? status.mount : 0;
  return 0;
}

int ReadStatus(const char* path, FileStatus* out) { return Read(AT_FDCWD, path, 0, out); }

}  // namespace grpcfd
