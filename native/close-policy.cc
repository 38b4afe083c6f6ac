#include "close-policy.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "kernel-name.h"
#include "specimens.h"

namespace grpcfd {
namespace {

// To free so much memory takes about as long as to have a thread do it.
constexpr uint64_t kAffordable = 1 << 20;

// Its last name may be removed between the look and the close. The disk then has this much to free.
constexpr uint64_t kMaxOnDisk = 64 << 20;

bool IsMemory(uint64_t device, const Devices& devices) {
  return std::find(std::begin(devices.memory), std::end(devices.memory), device) != std::end(devices.memory);
}

// Each message has a byte at least.
bool IsEmpty(int socket) {
  int bytes = 0;
  return ioctl(socket, FIONREAD, &bytes) == 0 && bytes == 0;
}

bool IsOfKernel(uint64_t device, const Devices& devices) {
  return device == devices.anonymous || device == devices.process || device == devices.namespaces;
}

// Of the files of the kernel, an epoll or an inotify may have much to take down, and a mount namespace may unmount file systems.
bool IsHarmless(int fd, uint64_t device, const Devices& devices) {
  if (device == devices.process && device != devices.anonymous) return true;
  const KernelName name(fd);
  if (device == devices.namespaces) return name.text().substr(0, 5) == "net:[";
  constexpr std::string_view kNames[] = {"anon_inode:[eventfd]", "anon_inode:[timerfd]", "anon_inode:[signalfd]", "anon_inode:[pidfd]"};
  return std::find(std::begin(kNames), std::end(kNames), name.text()) != std::end(kNames);
}

bool ReadOption(int socket, int level, int option, int* value) {
  socklen_t size = sizeof(*value);
  return getsockopt(socket, level, option, value, &size) == 0;
}

// TCP without a linger time and without a layer of its own, such as TLS. Others may wait: UDP that has joined a group, for locks of the
// network that any user can keep busy.
bool IsPlainTcp(int socket) {
  int protocol = 0;
  linger option = {};
  socklen_t size = sizeof(option);
  if (!ReadOption(socket, SOL_SOCKET, SO_PROTOCOL, &protocol) || protocol != IPPROTO_TCP) return false;
  if (getsockopt(socket, SOL_SOCKET, SO_LINGER, &option, &size) != 0) return false;
  char layer[16];
  size = sizeof(layer);
  return option.l_onoff == 0 && getsockopt(socket, IPPROTO_TCP, TCP_ULP, layer, &size) == 0 && size == 0;
}

// The peer has ended its side, and nothing is left. Nothing can come behind that.
bool HasEnded(int socket) {
  pollfd state = {socket, POLLRDHUP, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & POLLRDHUP) != 0 && IsEmpty(socket);
}

// A unix stream socket that is not connected, and that nobody has connected to and waits to be accepted.
bool IsUnused(int socket) {
  sockaddr_storage peer;
  socklen_t size = sizeof(peer);
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) == 0 || errno != ENOTCONN) return false;
  int listens = 0;
  pollfd state = {socket, POLLIN, 0};
  return ReadOption(socket, SOL_SOCKET, SO_ACCEPTCONN, &listens) && (listens == 0 || poll(&state, 1, 0) == 0);
}

// False if it is not an open socket.
bool SocketClosesAtOnce(int socket, bool is_own, bool* at_once) {
  int domain = 0;
  int type = 0;
  if (!ReadOption(socket, SOL_SOCKET, SO_DOMAIN, &domain) || !ReadOption(socket, SOL_SOCKET, SO_TYPE, &type)) return false;
  *at_once = false;
  if (domain == AF_INET || domain == AF_INET6) *at_once = IsPlainTcp(socket);
  // Whatever is sent to a unix socket goes with it, up to the last moment: other sockets, with a linger time.
  if (domain == AF_UNIX && type == SOCK_STREAM) *at_once = HasEnded(socket) || (is_own && IsUnused(socket));
  return true;
}

}  // namespace

void ClosePolicy::Begin() {
  is_updated_ = false;
  affordable_ = kAffordable;
}

ClosePolicy::Verdict ClosePolicy::Judge(int fd, bool is_own) {
  ClosingStatus status;
  if (const int error = ReadStatus(fd, &status); error != 0) return error == EBADF ? kNotOpen : kPerhapsLater;
  bool at_once = false;
  // A socket file that is open with O_PATH is a file like any other.
  if (!S_ISSOCK(status.mode) || !SocketClosesAtOnce(fd, is_own, &at_once)) at_once = FileClosesAtOnce(fd, status);
  return at_once ? kAtOnce : kPerhapsLater;
}

bool ClosePolicy::FileClosesAtOnce(int fd, const ClosingStatus& status) {
  const Devices* devices = nullptr;
  if (FindDevices(&devices) != 0) return false;
  if (S_ISFIFO(status.mode) && status.device == devices->pipes) return true;
  if (S_ISREG(status.mode) && IsMemory(status.device, *devices)) return Afford(status.bytes);
  if (IsOfKernel(status.device, *devices)) return IsHarmless(fd, status.device, *devices);
  const bool is_file = !S_ISCHR(status.mode) && !S_ISBLK(status.mode);
  if (!is_file && !(S_ISCHR(status.mode) && status.device_major == kMajorOfMemoryDevices)) return false;
  switch (FileSystemOf(status.device, status.mount)) {
    case FileSystem::kMemory:
      return Afford(status.bytes);
    case FileSystem::kDisk:
      return status.links > 0 && status.bytes <= kMaxOnDisk;
    case FileSystem::kUnknown:
      break;
  }
  return false;
}

bool ClosePolicy::Afford(uint64_t bytes) {
  if (bytes > affordable_) return false;
  affordable_ -= bytes;
  return true;
}

FileSystem ClosePolicy::FileSystemOf(uint64_t device, uint64_t mount) {
  if (!is_updated_) mounts_.Update();
  is_updated_ = true;
  return mounts_.Find(device, mount);
}

bool IsDrained(int socket) { return HasEnded(socket) || IsUnused(socket); }

bool EndDrained(int socket) {
  // Unread bytes make a reset of the close. The peer shall meet that, and no end before it.
  return IsEmpty(socket) && shutdown(socket, SHUT_RDWR) == 0 && IsEmpty(socket);
}

}  // namespace grpcfd
