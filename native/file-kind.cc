// What an open file is, without waiting for anybody, and by what a peer cannot forge.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string_view>

#include "arguments.h"
#include "define.h"
#include "file-status.h"
#include "functions.h"
#include "kernel-name.h"
#include "specimens.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// In the order of FILE_KINDS in src/native/types.ts.
enum Kind : uint32_t {
  kUnknown,
  kFile,
  kDirectory,
  kSymlink,
  kPipe,
  kSocket,
  kMemfd,
  kEventfd,
  kEpoll,
  kTimerfd,
  kSignalfd,
  kInotify,
  kPidfd,
  kDmabuf,
  kNamespace,
  kTty,
  kDevice,
};

// linux/magic.h of some systems lacks it.
constexpr uint32_t kDmaBufMagic = 0x444d4142;

// The kernel gives these names. They mean something only on the device of anonymous inodes.
Kind ReadAnonymousName(int fd) {
  const KernelName name(fd);
  constexpr struct {
    std::string_view name;
    Kind kind;
  } kNames[] = {
      {"anon_inode:[eventfd]", kEventfd},   {"anon_inode:[eventpoll]", kEpoll}, {"anon_inode:[timerfd]", kTimerfd},
      {"anon_inode:[signalfd]", kSignalfd}, {"anon_inode:inotify", kInotify},   {"anon_inode:[pidfd]", kPidfd},
  };
  const auto* found = std::find_if(std::begin(kNames), std::end(kNames), [&](const auto& each) { return each.name == name.text(); });
  return found == std::end(kNames) ? kUnknown : found->kind;
}

// Only file systems inside the kernel have files without a type, so none of them waits for a server.
Kind KindWithoutType(int fd) {
  struct statfs status;
  const bool is_dmabuf = fstatfs(fd, &status) == 0 && static_cast<uint32_t>(status.f_type) == kDmaBufMagic;
  return is_dmabuf ? kDmabuf : kUnknown;
}

Kind KindOnDevice(int fd, const FileStatus& status, const Devices& devices) {
  if (status.device == devices.anonymous) return ReadAnonymousName(fd);
  if (status.device == devices.process) return kPidfd;
  if (status.device == devices.namespaces) return kNamespace;
  if (!S_ISREG(status.mode)) return KindWithoutType(fd);
  const bool is_memory = std::find(std::begin(devices.memory), std::end(devices.memory), status.device) != std::end(devices.memory);
  return is_memory ? kMemfd : kFile;
}

// Returns 0 or an errno.
int FindKind(int fd, const FileStatus& status, Kind* kind) {
  switch (status.mode & S_IFMT) {
    case S_IFDIR:
      *kind = kDirectory;
      return 0;
    case S_IFLNK:
      *kind = kSymlink;
      return 0;
    case S_IFIFO:
      *kind = kPipe;
      return 0;
    case S_IFSOCK:
      *kind = kSocket;
      return 0;
    case S_IFCHR:
      *kind = IsTerminal(status.device_major) ? kTty : kDevice;
      return 0;
    case S_IFBLK:
      *kind = kDevice;
      return 0;
    default:
      break;
  }
  const Devices* devices = nullptr;
  if (const int error = FindDevices(&devices); error != 0) return error;
  *kind = KindOnDevice(fd, status, *devices);
  return 0;
}

// describe(fd, into): five numbers of 64 bits. Device, inode, kind, file status flags, and the device that a device file
// stands for: its major number, its minor number above that, and whether it is a block device in the highest bit.
napi_value Describe(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  uint64_t* into = nullptr;
  if (!arguments.Int(0, &fd) || !arguments.Uint64s(1, 5, &into)) return nullptr;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return ThrowSystemError(env, errno, "fcntl");
  FileStatus status;
  if (const int error = ReadStatus(fd, &status); error != 0) return ThrowSystemError(env, error, "statx");
  Kind kind = kUnknown;
  if (const int error = FindKind(fd, status, &kind); error != 0) return ThrowSystemError(env, error, "memfd_create");
  into[0] = status.device;
  into[1] = status.inode;
  into[2] = kind;
  into[3] = static_cast<uint32_t>(flags);
  into[4] = status.device_major | static_cast<uint64_t>(status.device_minor) << 32;
  if (S_ISBLK(status.mode)) into[4] |= uint64_t{1} << 63;
  return nullptr;
}

}  // namespace

bool DefineFileKindFunction(napi_env env, napi_value exports) { return Define(env, exports, {{"describe", Describe}}); }

}  // namespace grpcfd
