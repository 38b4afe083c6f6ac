// Reads directories in threads of their own: a file system may take any time, and a peer decides how long a directory is.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "arguments.h"
#include "define.h"
#include "directory-entries.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
#include "threads.h"

namespace grpcfd {
namespace {

// The kernel gives about so much at a time, and JavaScript gets at least so much, except for the rest.
constexpr size_t kBlock = size_t{64} * 1024;
constexpr size_t kEnough = size_t{64} * 1024;

constexpr unsigned kTypeShift = 12;  // from S_IFREG to DT_REG, and so on

class ListJob final : public ThreadJob {
 public:
  explicit ListJob(int fd) : directory_(fd) {}

  int Run() override {
    const int error = Read();
    directory_.Reset();
    return error;
  }

  napi_value Result(napi_env env, Environment&) override {
    napi_value bytes = nullptr;
    napi_create_buffer_copy(env, entries_.size(), entries_.data(), nullptr, &bytes);
    return bytes;
  }

 private:
  int Read() {
    char block[kBlock];
    while (entries_.size() < kEnough) {
      const long size = syscall(SYS_getdents64, directory_.Get(), block, sizeof(block));
      // ENOENT: it was removed, and has no entries.
      if (size == 0 || (size < 0 && errno == ENOENT)) return 0;
      if (size < 0) return errno;
      DirectoryReader reader(block, static_cast<size_t>(size));
      for (DirectoryEntry entry; reader.Next(&entry);) Add(entry);
    }
    return 0;
  }

  void Add(const DirectoryEntry& entry) {
    const std::string_view name = entry.name;
    if (name == "." || name == "..") return;
    entries_.push_back(static_cast<char>(entry.type == DT_UNKNOWN ? FindType(name.data()) : entry.type));
    entries_.append(name).push_back('\0');
  }

  // Not every file system tells the types with the names.
  uint8_t FindType(const char* name) {
    struct stat status;
    if (fstatat(directory_.Get(), name, &status, AT_SYMLINK_NOFOLLOW) != 0) return DT_UNKNOWN;
    return static_cast<uint8_t>((status.st_mode & S_IFMT) >> kTypeShift);
  }

  OwnFd directory_;
  std::string entries_;
};

// listInThread(fd, onListed): takes over `fd`. The next entries, from the offset of the open file on: for each its type (DT_REG and so
// on), its name and a NUL. No bytes at the end.
napi_value ListInThread(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  Environment::Of(env).Unguard(fd);
  return StartJob(env, std::make_unique<ListJob>(fd), arguments[1]);
}

}  // namespace

bool DefineDirectoryFunction(napi_env env, napi_value exports) {
  return Define(env, exports, {{"listInThread", ListInThread}});
}

}  // namespace grpcfd
