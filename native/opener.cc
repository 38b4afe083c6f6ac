// Opens files in threads of their own.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
#include "threads.h"

namespace grpcfd {
namespace {

// Linux 5.6; not in the headers of the systems that prebuilt binaries are made on. The same number on every architecture.
constexpr long kOpenat2 = 437;
struct OpenHow {
  uint64_t flags, mode, resolve;
};
constexpr uint64_t kNoMagicLinks = 0x02;
constexpr uint64_t kBeneath = 0x08;

// The kernel gives up with EAGAIN when a directory is being renamed.
constexpr int kAttempts = 128;

// The kernel takes a lease away after 45 seconds (fs.lease-break-time).
constexpr int kLeaseMs = 60000;
constexpr int kLeaseStepMs = 10;

bool MakesFile(int flags) { return (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0; }

int OpenBeneath(int directory, const char* path, int flags, mode_t mode) {
  OpenHow how = {};
  how.flags = static_cast<uint32_t>(flags);
  how.mode = MakesFile(flags) ? mode : 0;
  how.resolve = kBeneath | kNoMagicLinks;
  long fd = -1;
  for (int i = 0; i < kAttempts; i++) {
    fd = syscall(kOpenat2, directory, path, &how, sizeof(how));
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  if (fd < 0 && errno == EPERM) {
    // Old sandboxes answer so to every system call that they do not know.
    OpenHow nothing = {O_PATH | O_CLOEXEC, 0, 0};
    const OwnFd probe(static_cast<int>(syscall(kOpenat2, AT_FDCWD, "/", &nothing, sizeof(nothing))));
    errno = probe.IsOpen() ? EPERM : ENOSYS;
  }
  return static_cast<int>(fd);
}

int OpenAt(int directory, const char* path, int flags, mode_t mode) {
  int fd = -1;
  do {
    fd = openat(directory, path, flags, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

class OpenJob final : public FdJob {
 public:
  // With one of the two, nothing outside of that directory is reached.
  OwnFd directory;
  std::string directory_path;
  std::string path;
  int flags = 0;
  mode_t mode = 0;

  int Run() override {
    const int error = Open();
    // Here, since a file system may take its time for that, too.
    directory.Reset();
    return error;
  }

 private:
  int Open() {
    if (!directory_path.empty()) {
      directory = OwnFd(OpenAt(AT_FDCWD, directory_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
      if (!directory.IsOpen()) return errno;
    }
    // A FIFO would be waited for otherwise, in the thread and later in the receiver.
    const bool adds_nonblock = (flags & (O_PATH | O_NONBLOCK)) == 0;
    const int all_flags = flags | O_CLOEXEC | (adds_nonblock ? O_NONBLOCK | O_NOCTTY : 0);
    // The directory itself can be opened anew without openat2, too.
    const bool is_anywhere = !directory.IsOpen() || path == ".";
    const int at = directory.IsOpen() ? directory.Get() : AT_FDCWD;
    const auto open = [&] {
      return is_anywhere ? OpenAt(at, path.c_str(), all_flags, mode) : OpenBeneath(at, path.c_str(), all_flags, mode);
    };
    int fd = open();
    // Another process has a lease on the file (a Samba server, for one). The first try has told it to give the lease up.
    for (int waited = 0; fd < 0 && errno == EAGAIN && adds_nonblock && waited < kLeaseMs; waited += kLeaseStepMs) {
      usleep(kLeaseStepMs * 1000);
      fd = open();
    }
    OwnFd opened(fd);
    if (!opened.IsOpen()) return errno;
    if (adds_nonblock) {
      const int flags_now = fcntl(fd, F_GETFL);
      if (flags_now < 0 || fcntl(fd, F_SETFL, flags_now & ~O_NONBLOCK) != 0) return errno;
    }
    return Keep(opened.Release());
  }
};

// openInThread(directory, directoryPath, path, flags, mode, onOpened): takes over `directory`, a descriptor or -1, also when no thread
// can be made.
napi_value OpenInThread(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  auto job = std::make_unique<OpenJob>();
  int directory = -1;
  int mode = 0;
  if (!arguments.Int(0, &directory) || !arguments.Path(1, &job->directory_path) || !arguments.Path(2, &job->path) ||
      !arguments.Int(3, &job->flags) || !arguments.Int(4, &mode)) {
    return nullptr;
  }
  job->mode = static_cast<mode_t>(mode);
  Environment::Of(env).Unguard(directory);
  job->directory = OwnFd(directory);
  return StartJob(env, std::move(job), arguments[5]);
}

}  // namespace

bool DefineOpenerFunction(napi_env env, napi_value exports) {
  return Define(env, exports, {{"openInThread", OpenInThread}});
}

}  // namespace grpcfd
