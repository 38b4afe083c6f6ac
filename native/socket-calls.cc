#include "socket-calls.h"

#include <cerrno>
#include <climits>
#include <cstring>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <utility>

#include "diag-answer.h"
#include "environment.h"
#include "own-fd.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// Fills `out` from an array of Uint8Array until `limit` bytes or IOV_MAX pieces are reached; the kernel refuses more
// pieces. Returns how many were filled, or -1 with an exception pending.
int FillBuffers(napi_env env, napi_value array, size_t limit, iovec (&out)[IOV_MAX]) {
  uint32_t length = 0;
  if (napi_get_array_length(env, array, &length) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument 0 must be an array");
    return -1;
  }
  int filled = 0;
  for (uint32_t i = 0; i < length && filled < IOV_MAX && limit > 0; i++) {
    napi_value element = nullptr;
    Bytes bytes;
    if (napi_get_element(env, array, i, &element) != napi_ok || !ReadBytes(env, element, &bytes)) {
      napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument 0 must be an array of Uint8Array");
      return -1;
    }
    // The kernel counts empty pieces too.
    if (bytes.size == 0) continue;
    const size_t size = bytes.size < limit ? bytes.size : limit;
    out[filled++] = {bytes.data, size};
    limit -= size;
  }
  return filled;
}

}  // namespace

napi_value MakeInt(napi_env env, int64_t number) {
  napi_value value = nullptr;
  napi_create_int64(env, number, &value);
  return value;
}

int CheckUnixStream(int fd) {
  int value = 0;
  socklen_t size = sizeof(value);
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size) != 0) return errno;
  if (value != AF_UNIX) return EAFNOSUPPORT;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) != 0) return errno;
  return value == SOCK_STREAM ? 0 : EPROTOTYPE;
}

namespace {

// Asks the kernel for one attribute of the unix socket with that inode. False where it does not tell.
bool AskDiag(ino_t inode, uint32_t show, uint16_t type, void* value, size_t length) {
  const OwnFd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink.IsOpen()) return false;
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } query = {};
  query.header.nlmsg_len = sizeof(query);
  query.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  query.header.nlmsg_flags = NLM_F_REQUEST;
  query.request.sdiag_family = AF_UNIX;
  query.request.udiag_states = ~0u;
  query.request.udiag_ino = static_cast<uint32_t>(inode);
  query.request.udiag_show = show;
  query.request.udiag_cookie[0] = query.request.udiag_cookie[1] = ~0u;
  if (send(netlink.Get(), &query, sizeof(query), 0) != static_cast<ssize_t>(sizeof(query))) return false;
  // The kernel answers within send().
  alignas(nlmsghdr) char answer[1024];
  const ssize_t size = recv(netlink.Get(), answer, sizeof(answer), MSG_DONTWAIT);
  return size >= 0 && ReadDiagAttribute(answer, static_cast<size_t>(size), type, value, length);
}

}  // namespace

int ProbeSocketFile(const UnixAddress& address) {
  const OwnFd probe(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.IsOpen()) return errno;
  return connect(probe.Get(), address.Get(), address.length) == 0 ? 0 : errno;
}

bool FindPeer(int fd, uint64_t* device, uint64_t* inode) {
  struct stat status;
  uint32_t number = 0;
  if (fstat(fd, &status) != 0) return false;
  if (!AskDiag(status.st_ino, UDIAG_SHOW_PEER, UNIX_DIAG_PEER, &number, sizeof(number))) return false;
  *device = status.st_dev;
  *inode = number;
  // A socket that waits to be accepted has no inode yet.
  return number != 0;
}

bool FindFile(int fd, uint64_t* device, uint64_t* inode) {
  struct stat status;
  unix_diag_vfs file = {};
  if (fstat(fd, &status) != 0) return false;
  if (!AskDiag(status.st_ino, UDIAG_SHOW_VFS, UNIX_DIAG_VFS, &file, sizeof(file))) return false;
  // The form of device numbers inside the kernel: 12 bits for the major one, and 20 for the minor one.
  *device = makedev(file.udiag_vfs_dev >> 20, file.udiag_vfs_dev & 0xfffff);
  *inode = file.udiag_vfs_ino;
  return true;
}

void LeaveDescriptors(Environment& environment, uint32_t account, ReceivedMessage message, FdList out) {
  const size_t room = out.size - kArrivedHeader;
  const size_t count = message.descriptors.size() < room ? message.descriptors.size() : room;
  for (size_t i = 0; i < count; i++) {
    const int fd = message.descriptors[i].Release();
    environment.Guard(fd);
    environment.SetAccount(fd, account);
    out.data[kArrivedHeader + i] = fd;
  }
  out.data[0] = static_cast<int>(count);
  out.data[1] = message.truncated || count < message.descriptors.size() ? 1 : 0;
}

napi_value SendArguments(napi_env env, const Arguments& arguments, int socket) {
  int64_t limit = 0;
  FdList descriptors;
  if (!arguments.CountedFds(2, &descriptors)) return nullptr;
  if (napi_get_value_int64(env, arguments[1], &limit) != napi_ok || limit < 0) limit = 0;
  iovec buffers[IOV_MAX];
  const int count = FillBuffers(env, arguments[0], static_cast<size_t>(limit), buffers);
  if (count < 0) return nullptr;
  // The kernel drops the descriptors of a sendmsg without bytes and reports success.
  size_t size = 0;
  for (int i = 0; i < count; i++) size += buffers[i].iov_len;
  if (size == 0) return ThrowSystemError(env, EINVAL, "sendmsg");
  return MakeInt(env, SendMessage(socket, buffers, static_cast<size_t>(count), descriptors.data, descriptors.size));
}

napi_value ProbeArgument(napi_env env, const Arguments& arguments, int socket) {
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  return MakeInt(env, SendMessage(socket, nullptr, 0, &fd, 1));
}

}  // namespace grpcfd
