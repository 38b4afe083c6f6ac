#ifndef GRPCFD_OWN_FD_H_
#define GRPCFD_OWN_FD_H_

#include <unistd.h>

#include <utility>

namespace grpcfd {

// Owns one file descriptor and closes it exactly once. There is no conversion to bool or int on purpose: 0 is a valid
// descriptor, and a number that slips out unnoticed is how a descriptor gets two owners.
class OwnFd {
 public:
  OwnFd() = default;
  explicit OwnFd(int fd) : fd_(fd) {}
  OwnFd(OwnFd&& other) noexcept : fd_(other.Release()) {}
  OwnFd& operator=(OwnFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = other.Release();
    }
    return *this;
  }
  OwnFd(const OwnFd&) = delete;
  OwnFd& operator=(const OwnFd&) = delete;
  ~OwnFd() { Reset(); }

  bool IsOpen() const { return fd_ >= 0; }
  int Get() const { return fd_; }

  // The caller owns the descriptor from here on.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }

  // Never retried on EINTR: Linux has freed the number by then, and another thread may have it already.
  void Reset() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

}  // namespace grpcfd

#endif  // GRPCFD_OWN_FD_H_
