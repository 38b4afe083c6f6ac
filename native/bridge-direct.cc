// The direct mode of a bridge: Node writes to the socket itself. See bridge.h.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "bridge.h"
#include "environment.h"
#include "node-stream.h"

namespace grpcfd {

// What Node writes goes to the socket itself from now on, if nothing is to travel with it, and nothing is left in the pair. libuv may write
// to its descriptor, and never reads from it or waits for it here: in epoll, the number still stands for the near end.
void Bridge::EnterDirect() {
  if (direct_ || outgoing_ != Outgoing::kNative || blocked_ || paused_ || !insert_.empty() || taken_ == 0) return;
  if (read_to_end_ || reading_ended_ || writing_ended_) return;
  if (!environment_.CanSeeChanges() || !CanFeed() || uv_is_writable(stream_) == 0 || uv_stream_get_write_queue_size(stream_) != 0) return;
  if (StreamChanges() || !environment_.LooksLast()) return MarkDue();
  if (!near_.IsOpen()) near_ = OwnFd(fcntl(number_, F_DUPFD_CLOEXEC, 0));
  if (!near_.IsOpen() || dup3(socket_.Get(), number_, O_CLOEXEC) < 0) return;
  direct_ = true;
  environment_.AddDirect(number_, this);
}

// Whether the number is still that of Node's stream. A worker that is terminated runs no JavaScript any more, but its event loop may turn
// once more before Node closes the stream.
bool Bridge::HasNumber() const {
  return CanFeed() || reinterpret_cast<uv_stream_t*>(FindPipe(environment_.loop(), number_)) == stream_;
}

// Somebody has lowered RLIMIT_NOFILE below the number, which no file can get any more. So epoll gets to know the socket by it, or libuv would end
// the process. As libuv may read from the socket now, and lose descriptors, the connection ends.
void Bridge::GiveUp() {
  epoll_event event = {};
  event.data.fd = number_;
  epoll_ctl(uv_backend_fd(environment_.loop()), EPOLL_CTL_ADD, number_, &event);
  shutdown(socket_.Get(), SHUT_RDWR);
}

void Bridge::LeaveDirect() {
  if (!std::exchange(direct_, false)) return;
  environment_.RemoveDirect(number_);
  // In a teardown, Node has closed its handle, and the number may be that of another file.
  if (HasNumber()) {
    int result = -1;
    do {
      result = dup3(near_.Get(), number_, O_CLOEXEC);
    } while (result < 0 && (errno == EINTR || errno == EBUSY));
    if (result < 0) return GiveUp();
    // Node has ended its side, or does so now: the pair tells the end of what was written.
    if (uv_is_writable(stream_) == 0 && uv_stream_get_write_queue_size(stream_) == 0) shutdown(near_.Get(), SHUT_WR);
  }
  MarkDue();
}

bool Bridge::StreamChanges() const {
  const uv_io_t& watcher = reinterpret_cast<uv_pipe_t*>(stream_)->io_watcher;
  return watcher.fd != number_ || watcher.watcher_queue.next != &watcher.watcher_queue;
}

}  // namespace grpcfd
