#include "message.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

#include "control-data.h"

namespace grpcfd {
namespace {

// Linux 6.5; not in the headers of the systems that prebuilt binaries are made on.
constexpr int kScmPidfd = 0x04;

// More than enough: the descriptors take 1,032 bytes. The rest is for data that socket options may add before them (credentials,
// a pidfd, a security label), which would otherwise squeeze descriptors out.
constexpr size_t kReceiveControlBytes = 4096;

void TakeDescriptors(const ControlItem& item, std::vector<OwnFd>* out) {
  out->reserve(out->size() + item.DescriptorCount());
  for (size_t i = 0; i < item.DescriptorCount(); i++) out->emplace_back(item.Descriptor(i));
}

}  // namespace

ReceivedMessage ReceiveMessage(int socket, void* data, size_t size) {
  alignas(cmsghdr) char control[kReceiveControlBytes];
  iovec buffer = {data, size};
  msghdr message = {};
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);

  ReceivedMessage received;
  do {
    received.bytes = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (received.bytes < 0 && errno == EINTR);
  if (received.bytes < 0) {
    received.bytes = -errno;
    return received;
  }
  std::vector<OwnFd> unwanted;
  ControlReader reader(control, message.msg_controllen);
  for (ControlItem item; reader.Next(&item);) {
    if (item.level != SOL_SOCKET) continue;
    if (item.type == SCM_RIGHTS) TakeDescriptors(item, &received.descriptors);
    // A socket with SO_PASSPIDFD, which it may have inherited from its listener, gets a pidfd of the peer with every message.
    if (item.type == kScmPidfd) TakeDescriptors(item, &unwanted);
  }
  received.truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  return received;
}

ssize_t SendMessage(int socket, iovec* buffers, size_t buffer_count, const int* descriptors, size_t descriptor_count,
                    const UnixAddress* to) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptorsPerMessage)];
  msghdr message = {};
  if (to != nullptr) {
    message.msg_name = const_cast<sockaddr*>(to->Get());
    message.msg_namelen = to->length;
  }
  message.msg_iov = buffers;
  // glibc and musl have different types for the lengths.
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(buffer_count);
  if (descriptor_count > kMaxDescriptorsPerMessage) return -EINVAL;
  if (descriptor_count > 0) {
    const size_t size = sizeof(int) * descriptor_count;
    message.msg_control = control;
    message.msg_controllen = static_cast<decltype(message.msg_controllen)>(CMSG_SPACE(size));
    memset(control, 0, message.msg_controllen);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = static_cast<decltype(header->cmsg_len)>(CMSG_LEN(size));
    memcpy(CMSG_DATA(header), descriptors, size);
  }
  ssize_t sent = -1;
  do {
    sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

}  // namespace grpcfd
