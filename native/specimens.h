#ifndef GRPCFD_SPECIMENS_H_
#define GRPCFD_SPECIMENS_H_

#include <cstdint>

namespace grpcfd {

// The devices that the kernel keeps for files of one kind. A peer can give a file any name and any content, but it cannot
// put one on these devices: the kernel alone makes files there. Their numbers differ from boot to boot, so they are read
// from files that this process makes for the purpose, once, when the addon is loaded.
struct Devices {
  // memfds: one device for usual pages, and one for each size of huge pages.
  static constexpr int kMemoryDevices = 8;
  uint64_t memory[kMemoryDevices] = {};
  // eventfd, epoll, timerfd and others, which their names tell apart.
  uint64_t anonymous = 0;
  // pidfds since Linux 6.9; the device above before.
  uint64_t process = 0;
  uint64_t namespaces = 0;
  // Pipes without a name.
  uint64_t pipes = 0;
};

// Returns 0 or an errno. It fails only where a second try may succeed, when the descriptor table is full. A kind that the
// kernel does not have keeps the device 0, on which there are no files.
int FindDevices(const Devices** out);

// Whether a character device of that major number is a terminal. The driver of a device is not asked: one in user space
// (CUSE) could take any time to answer.
bool IsTerminal(uint32_t major);

// The major number of the character devices /dev/null, /dev/zero, /dev/random and the like, which the kernel itself is the driver of.
constexpr uint32_t kMajorOfMemoryDevices = 1;

}  // namespace grpcfd

#endif  // GRPCFD_SPECIMENS_H_
