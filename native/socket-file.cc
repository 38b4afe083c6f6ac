// Listens on a socket file. Everything from bind to listen is one call, so that nothing else of this thread comes between.
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "own-fd.h"
#include "socket-calls.h"
#include "system-error.h"
#include "unix-address.h"

namespace grpcfd {
namespace {

// What is asked for. The kernel takes the highest id for "leave it as it is", and so does this for the mode.
constexpr auto kUnchanged = static_cast<uint32_t>(-1);

struct Request {
  std::string path;
  UnixAddress address;
  int backlog = 0;
  uint32_t mode = kUnchanged;
  uint32_t uid = kUnchanged;
  uint32_t gid = kUnchanged;
};

struct Failure {
  int error = 0;
  const char* syscall = nullptr;
  explicit operator bool() const { return error != 0; }
};

constexpr Failure kSuccess = {};

Failure Failed(const char* syscall) { return {errno, syscall}; }

// The exclusive flock of a directory. It lasts as long as the object.
class DirectoryLock {
 public:
  DirectoryLock() = default;
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock() {
    // A child process that is being started may have the same open file until its exec. Closing alone would not unlock it.
    if (directory_.IsOpen()) flock(directory_.Get(), LOCK_UN);
  }

  // Returns EWOULDBLOCK if another process has it, and 0 where the directory cannot be locked: it cannot be read, or its file
  // system has no locks.
  int Take(const std::string& directory) {
    directory_ = OwnFd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory_.IsOpen()) return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? errno : 0;
    if (flock(directory_.Get(), LOCK_EX | LOCK_NB) == 0) return 0;
    const int error = errno;
    directory_.Reset();
    return error == EWOULDBLOCK ? error : 0;
  }

 private:
  OwnFd directory_;
};

OwnFd NewSocket() { return OwnFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

bool IsSameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
         a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

// Whether a socket is bound to the file, be it that it does not listen yet. Kernels that are not Linux may know nothing of this.
bool IsBound(const UnixAddress& address) {
  const int error = ProbeSocketFile(address);
  return error == 0 || error == EPROTOTYPE;
}

// Removes what is at the path if it is a socket file on which nobody listens. EADDRINUSE if it is anything else.
Failure RemoveDead(const Request& request) {
  constexpr Failure kInUse = {EADDRINUSE, "bind"};
  const char* path = request.path.c_str();
  struct stat found;
  if (lstat(path, &found) != 0) return errno == ENOENT ? kSuccess : kInUse;
  if (!S_ISSOCK(found.st_mode)) return kInUse;
  if (IsBound(request.address)) return kInUse;
  const OwnFd probe = NewSocket();
  if (!probe.IsOpen()) return Failed("socket");
  const bool answered = connect(probe.Get(), request.address.Get(), request.address.length) == 0;
  if (!answered && errno == ENOENT) return kSuccess;
  if (answered || errno != ECONNREFUSED) return kInUse;
  // Without the lock, another process may have replaced it meanwhile.
  struct stat now;
  if (lstat(path, &now) != 0) return errno == ENOENT ? kSuccess : kInUse;
  if (!IsSameFile(found, now)) return kInUse;
  return unlink(path) == 0 || errno == ENOENT ? kSuccess : Failed("unlink");
}

Failure Bind(int socket, const Request& request) {
  // The kernel makes the file with the mode of the socket without the bits of the umask. Where this fails, the file
  // is refused to everybody all the same until the socket listens.
  if (request.mode != kUnchanged) static_cast<void>(fchmod(socket, static_cast<mode_t>(request.mode)));
  constexpr int kTries = 3;
  for (int tries = 1;; tries++) {
    if (bind(socket, request.address.Get(), request.address.length) == 0) return kSuccess;
    if (errno != EADDRINUSE || tries == kTries) return Failed("bind");
    if (const Failure failure = RemoveDead(request)) return failure;
  }
}

// fchmod refuses a descriptor that was opened with O_PATH.
Failure ChangeMode(int file, uint32_t mode) {
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  if (chmod(link.c_str(), static_cast<mode_t>(mode)) == 0) return kSuccess;
  if (errno != ENOENT) return Failed("chmod");
  // Without /proc: fchmodat2 of Linux 6.6, which no C library of the build systems has.
  constexpr long kFchmodat2 = 452;
  return syscall(kFchmodat2, file, "", mode, AT_EMPTY_PATH) == 0 ? kSuccess : Failed("chmod");
}

// The mode comes first: after a change of the owner, the process may not have the right to set it any more.
Failure SetModeAndOwner(int file, const Request& request, struct stat status) {
  const auto has_mode = [&] { return request.mode == kUnchanged || (status.st_mode & 07777) == request.mode; };
  if (!has_mode()) {
    if (const Failure failure = ChangeMode(file, request.mode)) return failure;
  }
  const bool has_owner = (request.uid == kUnchanged || request.uid == status.st_uid) &&
                         (request.gid == kUnchanged || request.gid == status.st_gid);
  if (has_owner) return kSuccess;
  if (fchownat(file, "", request.uid, request.gid, AT_EMPTY_PATH) != 0) return Failed("chown");
  // A change of the owner clears the bits set-user-ID and set-group-ID.
  if (fstat(file, &status) != 0) return Failed("fstat");
  return has_mode() ? kSuccess : ChangeMode(file, request.mode);
}

// Sets up and listens. `status` is that of the file.
Failure Open(int socket, const Request& request, struct stat* status) {
  const bool asked = request.mode != kUnchanged || request.uid != kUnchanged || request.gid != kUnchanged;
  // A watcher of the directory may connect as soon as it sees the file.
  if (!asked && listen(socket, request.backlog) != 0) return Failed("listen");
  const OwnFd file(open(request.path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file.IsOpen() || fstat(file.Get(), status) != 0) return Failed("open");
  // Who may write to the directory could have put another file there. It must not get a mode or an owner, and must not be removed.
  const bool own = S_ISSOCK(status->st_mode) && status->st_nlink == 1 && status->st_uid == geteuid();
  if (asked && !own) return {EPERM, "chmod"};
  if (!S_ISSOCK(status->st_mode)) *status = {};
  if (!asked) return kSuccess;
  if (const Failure failure = SetModeAndOwner(file.Get(), request, *status)) return failure;
  return listen(socket, request.backlog) == 0 ? kSuccess : Failed("listen");
}

void RemoveOwn(const Request& request, const struct stat& own) {
  struct stat found;
  if (lstat(request.path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) return;
  const bool known = own.st_ino != 0;
  if (!known || (found.st_dev == own.st_dev && found.st_ino == own.st_ino)) unlink(request.path.c_str());
}

// removeDeadSocketFile(path, directory): see src/native/types.ts.
napi_value RemoveDeadSocketFile(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bytes name;
  Request request;
  std::string directory;
  if (!arguments.GetBytes(0, &name) || !arguments.Path(1, &directory)) return nullptr;
  if (request.address.Set(name) != 0) return nullptr;
  request.path.assign(reinterpret_cast<const char*>(name.data), name.size);
  DirectoryLock lock;
  static_cast<void>(lock.Take(directory));
  const Failure failure = RemoveDead(request);
  if (failure && failure.error != EADDRINUSE) return ThrowSystemError(env, failure.error, failure.syscall);
  return nullptr;
}

// listenAtPath(path, directory, [lock, backlog, mode, uid, gid], identity): see src/native/types.ts.
napi_value ListenAtPath(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bytes name;
  Request request;
  std::string directory;
  uint64_t* settings = nullptr;
  uint64_t* identity = nullptr;
  if (!arguments.GetBytes(0, &name) || !arguments.Path(1, &directory) || !arguments.Uint64s(2, 5, &settings) ||
      !arguments.Uint64s(3, 2, &identity)) {
    return nullptr;
  }
  if (const int error = request.address.Set(name); error != 0) return ThrowSystemError(env, error, "bind");
  request.path.assign(reinterpret_cast<const char*>(name.data), name.size);
  request.backlog = static_cast<int>(settings[1]);
  request.mode = static_cast<uint32_t>(settings[2]);
  request.uid = static_cast<uint32_t>(settings[3]);
  request.gid = static_cast<uint32_t>(settings[4]);

  OwnFd socket = NewSocket();
  if (!socket.IsOpen()) return ThrowSystemError(env, errno, "socket");
  DirectoryLock lock;
  if (settings[0] != 0) {
    const int error = lock.Take(directory);
    if (error == EWOULDBLOCK) return MakeInt(env, -error);
    if (error != 0) return ThrowSystemError(env, error, "open");
  }
  if (const Failure failure = Bind(socket.Get(), request)) {
    return ThrowSystemError(env, failure.error, failure.syscall);
  }
  struct stat status = {};
  if (const Failure failure = Open(socket.Get(), request, &status)) {
    RemoveOwn(request, status);
    return ThrowSystemError(env, failure.error, failure.syscall);
  }
  identity[0] = status.st_dev;
  identity[1] = status.st_ino;
  return Environment::Of(env).Give(env, std::move(socket));
}

}  // namespace

bool DefineSocketFileFunction(napi_env env, napi_value exports) {
  return Define(env, exports, {{"listenAtPath", ListenAtPath}, {"removeDeadSocketFile", RemoveDeadSocketFile}});
}

}  // namespace grpcfd
