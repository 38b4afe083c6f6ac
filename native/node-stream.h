#ifndef GRPCFD_NODE_STREAM_H_
#define GRPCFD_NODE_STREAM_H_

#include "libuv.h"

namespace grpcfd {

// The pipe of libuv, under a net.Socket or a net.Server of Node, whose descriptor is `fd`. nullptr where there is none in this loop.
inline uv_pipe_t* FindPipe(uv_loop_t* loop, int fd) {
  struct Search {
    int fd;
    uv_pipe_t* found;
  };
  Search search = {fd, nullptr};
  const auto visit = [](uv_handle_t* handle, void* data) {
    auto* wanted = static_cast<Search*>(data);
    uv_os_fd_t number = -1;
    if (uv_handle_get_type(handle) == UV_NAMED_PIPE && uv_fileno(handle, &number) == 0 && number == wanted->fd) {
      wanted->found = reinterpret_cast<uv_pipe_t*>(handle);
    }
  };
  uv_walk(loop, visit, &search);
  return search.found;
}

}  // namespace grpcfd

#endif  // GRPCFD_NODE_STREAM_H_
