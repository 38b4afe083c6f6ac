#ifndef GRPCFD_MESSAGE_H_
#define GRPCFD_MESSAGE_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "own-fd.h"
#include "unix-address.h"

namespace grpcfd {

// SCM_MAX_FD of the kernel, which no header exports: with more descriptors, sendmsg fails with EINVAL.
constexpr size_t kMaxDescriptorsPerMessage = 253;

struct ReceivedMessage {
  // Bytes read, 0 at the end of the stream, or the negative errno.
  ssize_t bytes = 0;
  std::vector<OwnFd> descriptors;
  // MSG_CTRUNC: the kernel dropped descriptors (or other control data), mostly because the descriptor table is full.
  bool truncated = false;
};

// One recvmsg that never blocks. Every descriptor that arrives is owned before anything else is looked at.
ReceivedMessage ReceiveMessage(int socket, void* data, size_t size);

// One sendmsg that never blocks and never raises SIGPIPE. Returns the bytes written or the negative errno. Descriptors
// are borrowed. After a full or partial success, the kernel holds its own references to all of them; after a failure, to none.
// `to` is the address of a datagram.
ssize_t SendMessage(int socket, iovec* buffers, size_t buffer_count, const int* descriptors, size_t descriptor_count,
                    const UnixAddress* to = nullptr);

}  // namespace grpcfd

#endif  // GRPCFD_MESSAGE_H_
