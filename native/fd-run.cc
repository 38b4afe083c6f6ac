#include "fd-run.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace grpcfd {
namespace {

// Linux 5.9; not in the headers of the systems that prebuilt binaries are made on. The same number on every architecture.
constexpr long kCloseRange = 436;

}  // namespace

void FdRun::Flush() {
  const int end = first_ + count_;
  // It fails on older kernels, and where a sandbox forbids it.
  const bool closed = count_ > 1 && syscall(kCloseRange, first_, end - 1, 0) == 0;
  for (int fd = first_; !closed && fd < end; fd++) close(fd);
  count_ = 0;
}

}  // namespace grpcfd
