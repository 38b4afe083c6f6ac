#include "specimens.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "file-status.h"
#include "own-fd.h"
#include "proc-lines.h"

namespace grpcfd {
namespace {

// The logarithms of the sizes of huge pages on x64 and arm64, for MFD_HUGETLB: 64 KiB, 2, 32, 512 MiB, 1 and 16 GiB.
constexpr unsigned kHugePages[] = {16, 21, 25, 29, 30, 34};
constexpr unsigned kHugePageShift = 26;

// Linux 5.3; not in the headers of the systems that prebuilt binaries are made on. The same number on every architecture.
constexpr long kPidfdOpen = 434;

constexpr uint32_t kMaxMajor = 4095;

// The kernel has no such files, or a sandbox forbids to make them. What fails otherwise may work the next time.
bool IsMissing(int error) {
  return error == ENOSYS || error == EINVAL || error == ENODEV || error == EOPNOTSUPP || error == EPERM || error == EACCES ||
         error == ENOENT;
}

// Takes over `made`, or the errno that it stands for.
int ReadDevice(OwnFd made, uint64_t* device) {
  if (!made.IsOpen()) return IsMissing(errno) ? 0 : errno;
  FileStatus status;
  if (const int error = ReadStatus(made.Get(), &status); error != 0) return error;
  *device = status.device;
  return 0;
}

int Find(Devices* devices) {
  uint64_t* memory = devices->memory;
  if (const int error = ReadDevice(OwnFd(memfd_create("specimen", MFD_CLOEXEC)), memory++); error != 0) return error;
  for (const unsigned page : kHugePages) {
    OwnFd huge(memfd_create("specimen", MFD_CLOEXEC | MFD_HUGETLB | (page << kHugePageShift)));
    if (const int error = ReadDevice(std::move(huge), memory++); error != 0) return error;
  }
  if (const int error = ReadDevice(OwnFd(epoll_create1(EPOLL_CLOEXEC)), &devices->anonymous); error != 0) return error;
  OwnFd process(static_cast<int>(syscall(kPidfdOpen, getpid(), 0)));
  if (const int error = ReadDevice(std::move(process), &devices->process); error != 0) return error;
  int ends[2] = {-1, -1};
  static_cast<void>(pipe2(ends, O_CLOEXEC));
  const OwnFd other_end(ends[1]);
  if (const int error = ReadDevice(OwnFd(ends[0]), &devices->pipes); error != 0) return error;
  FileStatus status;
  const int error = ReadStatus("/proc/self/ns/net", &status);
  if (error != 0) return IsMissing(error) ? 0 : error;
  devices->namespaces = status.device;
  return 0;
}

// One bit for each major number of a terminal.
class Terminals {
 public:
  Terminals() {
    // Fixed for all of Linux: consoles and serial lines, /dev/tty and /dev/ptmx, and ptys.
    Add(4);
    Add(5);
    for (uint32_t major = 128; major <= 143; major++) Add(major);
  }

  bool Has(uint32_t major) const { return major <= kMaxMajor && is_terminal_[major]; }

  // Each line of the file has the name of a driver, the path of its devices, their major number, and more.
  void Read() {
    FILE* drivers = std::fopen("/proc/tty/drivers", "re");
    if (drivers == nullptr) return;
    char line[256];
    while (std::fgets(line, sizeof(line), drivers) != nullptr) {
      uint32_t number = 0;
      if (ParseDriverLine(line, &number)) Add(number);
    }
    static_cast<void>(std::fclose(drivers));
  }

 private:
  void Add(uint32_t major) {
    if (major <= kMaxMajor) is_terminal_[major] = true;
  }

  bool is_terminal_[kMaxMajor + 1] = {};
};

}  // namespace

int FindDevices(const Devices** out) {
  static std::mutex mutex;
  static Devices found;
  static bool is_known = false;
  const std::lock_guard<std::mutex> lock(mutex);
  if (!is_known) {
    Devices devices;
    if (const int error = Find(&devices); error != 0) return error;
    found = devices;
    is_known = true;
  }
  *out = &found;
  return 0;
}

bool IsTerminal(uint32_t major) {
  static std::mutex mutex;
  static Terminals terminals;
  const std::lock_guard<std::mutex> lock(mutex);
  if (terminals.Has(major)) return true;
  if (major == kMajorOfMemoryDevices) return false;
  // A driver may have come since.
  terminals.Read();
  return terminals.Has(major);
}

}  // namespace grpcfd
