// The direct mode of a bridge: Node writes to the socket itself. See bridge.h.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "bridge.h"
#include "environment.h"
#include "node-stream.h"

namespace grpcfd {
namespace {

// One message of this size fills a pair that has the smallest buffer, for epoll: it counts the memory that a message takes up, and has no
// room left when that is more than a quarter of the buffer (unix_writable in net/unix/af_unix.c). The smallest is 4.5 KiB.
constexpr size_t kFillerSize = 2048;

// Until libuv has tried again: the event loop waits, which tells it that it can write, and is about to wait once more.
constexpr int kWaitsToWrite = 2;

// As the kernel tells it, which is twice what it is given.
int GetSendBuffer(int socket) {
  int size = 0;
  socklen_t length = sizeof size;
  getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, &length);
  return size;
}

void SetSendBuffer(int socket, int size) {
  const int half = size / 2;
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &half, sizeof half);
}

}  // namespace

// What Node writes goes to the socket itself from now on, if nothing is to travel with it, and nothing is left in the pair. libuv may write
// to its descriptor, and never reads from it or waits for it here: in epoll, the number still stands for the near end.
void Bridge::EnterDirect() {
  if (!MayBeDirect()) return;
  if (StreamChanges() || !environment_.LooksLast()) return MarkDue();
  BecomeDirect();
}

// Nothing is in the pair, and libuv has not told epoll of the stream yet. When it does, the near end is in its place: see BeforeChange.
void Bridge::StartDirect() {
  if (!MayBeDirect()) return;
  // Now, so that a connection has as many descriptors from its start as later.
  if (!KeepNearEnd() || !environment_.LooksLast()) return MarkDue();
  BecomeDirect();
}

bool Bridge::MayBeDirect() const {
  if (direct_ || outgoing_ != Outgoing::kNative || blocked_ || !insert_.empty()) return false;
  if (read_to_end_ || reading_ended_ || writing_ended_) return false;
  if (!environment_.CanSeeChanges() || !CanFeed() || uv_is_writable(stream_) == 0) return false;
  if (reinterpret_cast<uv_pipe_t*>(stream_)->io_watcher.fd != number_) return false;
  // Of a stream that neither reads nor has anything to write, it is to be seen whether it writes.
  return WritesWait() ? !cannot_hold_ : !paused_;
}

// Opens the near end under another number. False where the table of descriptors is full.
bool Bridge::KeepNearEnd() {
  if (!near_.IsOpen()) near_ = OwnFd(fcntl(number_, F_DUPFD_CLOEXEC, 0));
  return near_.IsOpen();
}

void Bridge::BecomeDirect() {
  if (!KeepNearEnd()) return;
  if (!IsWatched()) ForgetInEpoll();
  if (dup3(socket_.Get(), number_, O_CLOEXEC) < 0) return;
  direct_ = true;
  epoll_tells_of_room_ = WritesWait();
  environment_.AddDirect(number_, this);
  ExpectWrite();
}

// libuv can write again what waits. If the kernel takes none of it, or not all, nothing tells the bridge so.
void Bridge::ExpectWrite() {
  if (!direct_ || !WritesWait()) return;
  waits_to_write_ = kWaitsToWrite;
  MarkDue();
}

void Bridge::LeaveDirect() {
  if (filler_ > 0) ReleaseWrites();
  PutNearEndBack();
}

void Bridge::BeforeChange() {
  PutNearEndBack();
  epoll_tells_of_room_ = WritesWait();
  // If libuv has just been told that it can write, it is not held back again. Otherwise a change in each turn would stop it for good.
  if (std::exchange(waits_to_write_, 0) == 0) HoldWrites();
  if (filler_ > 0) return;
  left_for_wait_ = true;
  environment_.LookAfterWait();
}

void Bridge::AfterWait() {
  if (std::exchange(left_for_wait_, false)) OnWritten();
}

// Nothing is in the pair. Without the filler, libuv would write to the pair what the kernel has not taken.
void Bridge::HoldWrites() {
  if (filler_ > 0 || cannot_hold_ || outgoing_ != Outgoing::kNative || writing_ended_ || !near_.IsOpen() || !WritesWait()) return;
  const bool is_first = pair_buffer_ == 0;
  if (is_first) pair_buffer_ = GetSendBuffer(near_.Get());
  SetSendBuffer(near_.Get(), 0);
  constexpr std::array<uint8_t, kFillerSize> filler{};
  const ssize_t sent = send(near_.Get(), filler.data(), filler.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  filler_ = sent > 0 ? static_cast<size_t>(sent) : 0;
  // Without memory for it, and where the buffer cannot be made small, what waits goes through the pair from now on.
  cannot_hold_ = filler_ == 0 || (is_first && (Poll(near_.Get(), POLLOUT) & POLLOUT) != 0);
  if (cannot_hold_) return ReleaseWrites();
  release_is_due_ = false;
  blocked_ = true;
  UpdateWatch();
}

// In a direct mode with something to write, or while Node does not read.
void Bridge::LookAtWrites() {
  if (!WritesWait()) {
    waits_to_write_ = 0;
    // In the second case, to enter it again: epoll has to forget the number.
    if (paused_ || (epoll_tells_of_room_ && !IsWatched())) LeaveDirect();
  } else if (waits_to_write_ > 0) {
    if (--waits_to_write_ > 0) return MarkDue();
    HoldWrites();
    if (cannot_hold_) LeaveDirect();
  }
}

void Bridge::ReleaseWrites() {
  if (filler_ > 0) {
    std::array<uint8_t, kFillerSize> filler;
    ssize_t taken = -1;
    do {
      taken = recv(far_.Get(), filler.data(), filler_, MSG_DONTWAIT);
    } while (taken < 0 && errno == EINTR);
  }
  filler_ = 0;
  SetSendBuffer(near_.Get(), pair_buffer_);
}

// The kernel takes more, or tells why not.
void Bridge::Unblock() {
  // libuv is going to tell epoll of a change, and the number has to be that of the near end until then. This is called again in the next turn. If
  // there is a change again, what waits goes through the pair: Node may stop and start to read in each turn.
  if (filler_ > 0 && StreamChanges() && !std::exchange(release_is_due_, true)) return;
  if (filler_ > 0) ReleaseWrites();
  blocked_ = false;
  // All is written, and libuv may watch nothing any more: see ForgetInEpoll.
  if (direct_ && !WritesWait()) PutNearEndBack();
  Forward();
  if (IsOpen()) ExpectWrite();
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

void Bridge::PutNearEndBack() {
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

bool Bridge::IsWatched() const {
  return CanFeed() && reinterpret_cast<uv_pipe_t*>(stream_)->io_watcher.pevents != 0;
}

// libuv watches the number for nothing. It does not tell epoll so, and takes the number out when epoll tells of it next. That would fail while the
// number is that of the socket, and epoll would tell again and again that the near end can be written to.
void Bridge::ForgetInEpoll() { epoll_ctl(uv_backend_fd(environment_.loop()), EPOLL_CTL_DEL, number_, nullptr); }

bool Bridge::StreamChanges() const {
  const uv_io_t& watcher = reinterpret_cast<uv_pipe_t*>(stream_)->io_watcher;
  return watcher.fd != number_ || watcher.watcher_queue.next != &watcher.watcher_queue;
}

}  // namespace grpcfd
