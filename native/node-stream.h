#ifndef GRPCFD_NODE_STREAM_H_
#define GRPCFD_NODE_STREAM_H_

#include <cstddef>

#include "libuv.h"

namespace grpcfd {

// The pipe of libuv, under a net.Socket or a net.Server of Node, whose descriptor is `fd`. nullptr where there is none in this loop. It takes as
// long as the handles are that were made after the pipe, and mostly there is none: uv_walk would visit those of all connections.
inline uv_pipe_t* FindPipe(const uv_loop_t* loop, int fd) {
  // Has it the fields that libuv.h says?
  if (loop->backend_fd != uv_backend_fd(loop)) return nullptr;
  const uv_queue_t& handles = loop->handle_queue;
  for (uv_queue_t* entry = handles.previous; entry != &handles; entry = entry->previous) {
    auto* handle = reinterpret_cast<uv_handle_t*>(reinterpret_cast<char*>(entry) - offsetof(uv_stream_s, handle_queue));
    uv_os_fd_t number = -1;
    if (uv_handle_get_type(handle) == UV_NAMED_PIPE && uv_fileno(handle, &number) == 0 && number == fd) return reinterpret_cast<uv_pipe_t*>(handle);
  }
  return nullptr;
}

}  // namespace grpcfd

#endif  // GRPCFD_NODE_STREAM_H_
