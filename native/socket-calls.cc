#include "socket-calls.h"

#include <cerrno>
#include <climits>
#include <sys/socket.h>
#include <utility>

#include "environment.h"
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
    // The kernel counts pieces, whatever is in them.
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

void LeaveDescriptors(Environment& environment, ReceivedMessage message, FdList out) {
  const size_t room = out.size - kArrivedHeader;
  const size_t count = message.descriptors.size() < room ? message.descriptors.size() : room;
  for (size_t i = 0; i < count; i++) {
    const int fd = message.descriptors[i].Release();
    environment.Guard(fd);
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
