#ifndef GRPCFD_FD_RUN_H_
#define GRPCFD_FD_RUN_H_

namespace grpcfd {

// Closes descriptors, those with consecutive numbers in one system call. The numbers of one message mostly are: the kernel takes the lowest
// free ones. It does not own what was not added, and closes the last ones where it is destroyed.
class FdRun {
 public:
  FdRun() = default;
  FdRun(const FdRun&) = delete;
  FdRun& operator=(const FdRun&) = delete;
  ~FdRun() { Flush(); }

  void Add(int fd) {
    if (fd < 0) return;
    if (count_ > 0 && fd - first_ == count_) {
      count_++;
      return;
    }
    Flush();
    first_ = fd;
    count_ = 1;
  }

 private:
  void Flush();

  int first_ = 0;
  int count_ = 0;
};

}  // namespace grpcfd

#endif  // GRPCFD_FD_RUN_H_
