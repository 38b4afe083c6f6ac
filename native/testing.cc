// Functions for the tests of this package, apart from those that the package uses.
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "message.h"
#include "own-fd.h"
#include "socket-calls.h"
#include "system-error.h"
#include "unix-address.h"

namespace grpcfd {
namespace {

napi_value GiveTwo(napi_env env, const int (&descriptors)[2]) {
  OwnFd first(descriptors[0]);
  OwnFd second(descriptors[1]);
  napi_value array = nullptr;
  napi_value values[2] = {};
  napi_create_int32(env, first.Get(), &values[0]);
  napi_create_int32(env, second.Get(), &values[1]);
  if (napi_create_array_with_length(env, 2, &array) != napi_ok) return nullptr;
  if (napi_set_element(env, array, 0, values[0]) != napi_ok) return nullptr;
  if (napi_set_element(env, array, 1, values[1]) != napi_ok) return nullptr;
  static_cast<void>(first.Release());
  static_cast<void>(second.Release());
  return array;
}

napi_value Pipe(napi_env env, napi_callback_info) {
  int descriptors[2];
  if (pipe2(descriptors, O_CLOEXEC | O_NONBLOCK) != 0) return ThrowSystemError(env, errno, "pipe2");
  return GiveTwo(env, descriptors);
}

// setSendBuffer(fd, bytes): the kernel doubles it, and has a lower bound of a few KiB.
napi_value SetSendBuffer(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int size = 0;
  if (!arguments.Int(0, &fd) || !arguments.Int(1, &size)) return nullptr;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) != 0) return ThrowSystemError(env, errno, "setsockopt");
  return nullptr;
}

// socketOf(family, type, protocol)
napi_value SocketOf(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int family = 0;
  int type = 0;
  int protocol = 0;
  if (!arguments.Int(0, &family) || !arguments.Int(1, &type) || !arguments.Int(2, &protocol)) return nullptr;
  const int fd = socket(family, type | SOCK_CLOEXEC, protocol);
  return fd < 0 ? ThrowSystemError(env, errno, "socket") : MakeInt(env, fd);
}

// bindToLoopback(fd): a socket of AF_INET, to a free port.
napi_value BindToLoopback(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ThrowSystemError(env, errno, "bind");
  }
  return nullptr;
}

// socketPairOf(family, type): one end. The other one is closed.
napi_value SocketPairOf(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int family = 0;
  int type = 0;
  int descriptors[2];
  if (!arguments.Int(0, &family) || !arguments.Int(1, &type)) return nullptr;
  if (socketpair(family, type | SOCK_CLOEXEC, 0, descriptors) != 0) return ThrowSystemError(env, errno, "socketpair");
  close(descriptors[1]);
  return MakeInt(env, descriptors[0]);
}

// setLinger(fd, seconds): SO_LINGER.
napi_value SetLinger(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  linger time = {1, 0};
  if (!arguments.Int(0, &fd) || !arguments.Int(1, &time.l_linger)) return nullptr;
  if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &time, sizeof(time)) != 0) return ThrowSystemError(env, errno, "setsockopt");
  return nullptr;
}

// setSocketOption(fd, option, value), at the level of the socket.
napi_value SetSocketOption(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int option = 0;
  int value = 0;
  if (!arguments.Int(0, &fd) || !arguments.Int(1, &option) || !arguments.Int(2, &value)) return nullptr;
  if (setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) != 0) return ThrowSystemError(env, errno, "setsockopt");
  return nullptr;
}

// setDescriptorLimit(count): the soft RLIMIT_NOFILE of this process.
napi_value SetDescriptorLimit(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int count = 0;
  rlimit limit = {};
  if (!arguments.Int(0, &count)) return nullptr;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return ThrowSystemError(env, errno, "getrlimit");
  limit.rlim_cur = static_cast<rlim_t>(count);
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return ThrowSystemError(env, errno, "setrlimit");
  return nullptr;
}

// An io_uring: the one kind of descriptor that the kernel refuses to send, since Linux 6.7.
napi_value IoUring(napi_env env, napi_callback_info) {
  // Room for struct io_uring_params, whose header not every build system has.
  alignas(8) char parameters[120] = {};
  const long fd = syscall(SYS_io_uring_setup, 1, parameters);
  if (fd < 0) return ThrowSystemError(env, errno, "io_uring_setup");
  napi_value value = nullptr;
  napi_create_int32(env, static_cast<int>(fd), &value);
  return value;
}

napi_value GiveOne(napi_env env, int descriptor) {
  OwnFd owned(descriptor);
  napi_value value = nullptr;
  if (napi_create_int32(env, owned.Get(), &value) != napi_ok) return nullptr;
  static_cast<void>(owned.Release());
  return value;
}

// tryLock(fd): whether the exclusive flock of the open file could be taken.
napi_value TryLock(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  const bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (!locked && errno != EWOULDBLOCK) return ThrowSystemError(env, errno, "flock");
  napi_value result = nullptr;
  napi_get_boolean(env, locked, &result);
  return result;
}

// eventFd(), or eventFd(true) for a semaphore.
napi_value EventFd(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  bool is_semaphore = false;
  napi_get_value_bool(env, arguments[0], &is_semaphore);
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (is_semaphore ? EFD_SEMAPHORE : 0));
  return fd < 0 ? ThrowSystemError(env, errno, "eventfd") : GiveOne(env, fd);
}

napi_value Epoll(napi_env env, napi_callback_info) {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? ThrowSystemError(env, errno, "epoll_create1") : GiveOne(env, fd);
}

napi_value TimerFd(napi_env env, napi_callback_info) {
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  return fd < 0 ? ThrowSystemError(env, errno, "timerfd_create") : GiveOne(env, fd);
}

napi_value SignalFd(napi_env env, napi_callback_info) {
  sigset_t none;
  sigemptyset(&none);
  const int fd = signalfd(-1, &none, SFD_CLOEXEC | SFD_NONBLOCK);
  return fd < 0 ? ThrowSystemError(env, errno, "signalfd") : GiveOne(env, fd);
}

napi_value Inotify(napi_env env, napi_callback_info) {
  // A user may have 128, and the kernel counts one that was closed some time later.
  constexpr int kTries = 500;
  int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  for (int tries = 0; fd < 0 && errno == EMFILE && tries < kTries; tries++) {
    usleep(10'000);
    fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  }
  return fd < 0 ? ThrowSystemError(env, errno, "inotify_init1") : GiveOne(env, fd);
}

napi_value PidFd(napi_env env, napi_callback_info) {
  constexpr long kPidfdOpen = 434;
  const long fd = syscall(kPidfdOpen, getpid(), 0);
  return fd < 0 ? ThrowSystemError(env, errno, "pidfd_open") : GiveOne(env, static_cast<int>(fd));
}

// The master and the slave of a new pseudoterminal, both blocking, in raw mode.
napi_value Terminal(napi_env env, napi_callback_info) {
  OwnFd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  char name[64];
  if (!master.IsOpen() || unlockpt(master.Get()) != 0 || ptsname_r(master.Get(), name, sizeof(name)) != 0) {
    return ThrowSystemError(env, errno, "posix_openpt");
  }
  OwnFd slave(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave.IsOpen()) return ThrowSystemError(env, errno, "open");
  termios mode = {};
  tcgetattr(slave.Get(), &mode);
  cfmakeraw(&mode);
  tcsetattr(slave.Get(), TCSANOW, &mode);
  return GiveTwo(env, {master.Release(), slave.Release()});
}

// unreadBytes(fd): how many there are to be read now.
napi_value UnreadBytes(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int count = 0;
  if (!arguments.Int(0, &fd)) return nullptr;
  if (ioctl(fd, FIONREAD, &count) != 0) return ThrowSystemError(env, errno, "ioctl");
  return MakeInt(env, count);
}

// datagramSocket(name): bound to that name.
napi_value DatagramSocket(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bytes name;
  UnixAddress address;
  if (!arguments.GetBytes(0, &name)) return nullptr;
  if (const int error = address.Set(name); error != 0) return ThrowSystemError(env, error, "bind");
  OwnFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.IsOpen()) return ThrowSystemError(env, errno, "socket");
  if (bind(socket.Get(), address.Get(), address.length) != 0) return ThrowSystemError(env, errno, "bind");
  return GiveOne(env, socket.Release());
}

// lease(fd, wanted): F_SETLEASE, for writing. Whoever else opens the file waits, and this process gets SIGIO.
napi_value Lease(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  bool wanted = false;
  if (!arguments.Int(0, &fd) || !arguments.Bool(1, &wanted)) return nullptr;
  if (fcntl(fd, F_SETLEASE, wanted ? F_WRLCK : F_UNLCK) != 0) return ThrowSystemError(env, errno, "fcntl");
  return nullptr;
}

// nameSocket(fd): gives a unix socket an abstract name that the kernel chooses. It may be connected already.
napi_value NameSocket(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  sockaddr address{};
  address.sa_family = AF_UNIX;
  if (bind(fd, &address, sizeof(address.sa_family)) != 0) return ThrowSystemError(env, errno, "bind");
  return nullptr;
}

// receiveDatagram(fd, buffer, arrived): see SocketHandle.receive.
napi_value ReceiveDatagram(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  Bytes buffer;
  FdList arrived;
  if (!arguments.Int(0, &fd) || !arguments.GetBytes(1, &buffer) || !arguments.Fds(2, &arrived)) return nullptr;
  ReceivedMessage message = ReceiveMessage(fd, buffer.data, buffer.size);
  const ssize_t bytes = message.bytes;
  LeaveDescriptors(Environment::Of(env), 0, std::move(message), arrived);
  return MakeInt(env, bytes);
}

}  // namespace

bool DefineTestingFunctions(napi_env env, napi_value exports) {
  napi_value testing = nullptr;
  return napi_create_object(env, &testing) == napi_ok &&
         Define(env, testing,
                {{"pipe", Pipe},
                 {"setSendBuffer", SetSendBuffer},
                 {"socketOf", SocketOf},
                 {"bindToLoopback", BindToLoopback},
                 {"socketPairOf", SocketPairOf},
                 {"setLinger", SetLinger},
                 {"setSocketOption", SetSocketOption},
                 {"setDescriptorLimit", SetDescriptorLimit},
                 {"ioUring", IoUring},
                 {"datagramSocket", DatagramSocket},
                 {"lease", Lease},
                 {"nameSocket", NameSocket},
                 {"receiveDatagram", ReceiveDatagram},
                 {"tryLock", TryLock},
                 {"eventFd", EventFd},
                 {"epoll", Epoll},
                 {"timerFd", TimerFd},
                 {"signalFd", SignalFd},
                 {"inotify", Inotify},
                 {"pidFd", PidFd},
                 {"terminal", Terminal},
                 {"unreadBytes", UnreadBytes}}) &&
         DefineTestingSocketFunction(env, testing) && DefineTestingLoopFunction(env, testing) && DefineTestingClosingFunctions(env, testing) &&
         napi_set_named_property(env, exports, "testing", testing) == napi_ok;
}

}  // namespace grpcfd
