#include "bridge.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>
#include <new>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <utility>

#include "arguments.h"
#include "closing.h"
#include "environment.h"
#include "message.h"
#include "node-stream.h"
#include "socket-calls.h"
#include "system-error.h"

namespace grpcfd {
namespace {

using Clock = std::chrono::steady_clock;

// As many as libuv makes in a turn (uv__read), so that no connection starves the others.
constexpr int kReadsPerTurn = 32;
// What a peer costs by its descriptors, and by what the program does with its bytes, is for the next turn if it is more than this: other
// connections come first. libuv has no such limit, and one that is idle or quick never meets it.
constexpr size_t kDescriptorsPerTurn = 256;
constexpr std::chrono::milliseconds kTimePerTurn{10};
constexpr size_t kSmallestRead = size_t{4} * 1024;
// Times that the memory for forwarding is filled in a turn.
constexpr int kForwardsPerTurn = 16;

// Node stops reading while it writes. For longer than this, and without writing anything, it does so only where a write goes nowhere, or
// for good.
constexpr uint64_t kStalledMs = 250;
// Node hears of the end of a write in the next turn of the event loop, under TLS in the one after. A turn may take any time: code of the user
// may run, or the process may not.
constexpr int kStalledTurns = 3;

// The size is asked of the libuv in this process: it is not the same in every Node.js version that loads this binary.
uv_poll_t* NewPoll() { return static_cast<uv_poll_t*>(::operator new(uv_handle_size(UV_POLL))); }

uv_handle_t* AsHandle(uv_poll_t* poll) { return reinterpret_cast<uv_handle_t*>(poll); }

}  // namespace

Bridge::Bridge(napi_env env, Environment& environment)
    : env_(env), environment_(environment), account_(environment.NewAccount()) {}

Bridge::~Bridge() { ::operator delete(socket_poll_); }

int Bridge::Start(int socket, int far, int near) {
  auto* stream = reinterpret_cast<uv_stream_t*>(FindPipe(environment_.loop(), near));
  if (stream == nullptr) return ENOENT;
  if (const int error = environment_.AddFarEnd(far, this); error != 0) return error;
  socket_poll_ = NewPoll();
  // Makes the socket non-blocking too.
  if (const int error = uv_poll_init(environment_.loop(), socket_poll_, socket); error != 0) {
    environment_.RemoveFarEnd(far);
    return -error;
  }
  uv_handle_set_data(AsHandle(socket_poll_), this);
  // Node's own handle keeps the process alive, where it should: it is active while Node reads or writes. See UpdateWatch too.
  uv_unref(AsHandle(socket_poll_));
  stream_ = stream;
  number_ = near;
  socket_ = OwnFd(socket);
  far_ = OwnFd(far);
  environment_.Unguard(socket);
  environment_.Unguard(far);
  environment_.Add(this);
  UpdateWatch();
  StartDirect();
  return 0;
}

void Bridge::Close() {
  if (!IsOpen()) return;
  LeaveDirect();
  stream_ = nullptr;
  // A terminated worker runs no JavaScript any more. What Node has written is with the kernel all the same, where it is stock.
  if (environment_.is_torn_down() && outgoing_ == Outgoing::kNative) Forward();
  uv_close(AsHandle(socket_poll_), OnClosed);
  // libuv allows this as soon as uv_close has been called: the descriptor is out of the epoll set by then.
  environment_.closing().CloseConnection(std::move(socket_));
  environment_.RemoveFarEnd(far_.Get());
  near_.Reset();
  far_.Reset();
  ForgetRest();
  if (std::exchange(due_, false)) environment_.RemoveDue(this);
}

void Bridge::BeforeExit() {
  stream_ = nullptr;
  if (ForwardsItself()) Forward();
}

void Bridge::OnClosed(uv_handle_t* handle) {
  auto* self = static_cast<Bridge*>(uv_handle_get_data(handle));
  self->environment_.Remove(self);
  self->ReleaseReferences();
}

// Last act of an open bridge: the object may be collected, and `this` deleted, any time after.
void Bridge::ReleaseReferences() {
  if (async_context_ != nullptr) napi_async_destroy(env_, std::exchange(async_context_, nullptr));
  if (on_event_ != nullptr) napi_delete_reference(env_, std::exchange(on_event_, nullptr));
  if (arrived_ != nullptr) napi_delete_reference(env_, std::exchange(arrived_, nullptr));
  if (self_ != nullptr) napi_delete_reference(env_, std::exchange(self_, nullptr));
}

bool Bridge::CanFeed() const {
  if (stream_ == nullptr) return false;
  napi_value value = nullptr;
  napi_value result = nullptr;
  // Any call that could run JavaScript fails once the teardown has begun, and the handles of Node are closed after that.
  return napi_get_boolean(env_, true, &value) == napi_ok && napi_coerce_to_bool(env_, value, &result) == napi_ok;
}

void Bridge::OnSocket(uv_poll_t* poll, int status, int events) {
  auto* self = static_cast<Bridge*>(uv_handle_get_data(AsHandle(poll)));
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(self->env_, &scope) != napi_ok) return;
  if (status != 0) {
    // libuv answers EPOLLERR with an error of its own making and stops watching. The socket's own error is to be had from
    // recvmsg or send, and data may still lie before it.
    self->socket_watched_ = 0;
    events = UV_READABLE | UV_WRITABLE | UV_PRIORITIZED | UV_DISCONNECT;
  }
  // Nothing can come behind what has come. As libuv does, it is read to the end in this turn.
  if ((events & UV_DISCONNECT) != 0 && !self->peer_closed_) {
    self->peer_closed_ = (Poll(self->socket_.Get(), 0) & (POLLHUP | POLLERR)) != 0;
  }
  // What Node writes in answer shall not have to go through the pair.
  if (self->ForwardsItself()) self->Forward();
  if (self->IsOpen() && (events & UV_READABLE) != 0) self->Feed();
  if (self->IsOpen() && (events & UV_WRITABLE) != 0 && self->blocked_) self->Unblock();
  if (self->IsOpen() && (events & UV_PRIORITIZED) != 0) self->HangUp();
  if (self->IsOpen()) {
    self->UpdateWatch();
  }
  napi_close_handle_scope(self->env_, scope);
}

void Bridge::OnWritten() {
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
  Forward();
  if (IsOpen()) UpdateWatch();
  napi_close_handle_scope(env_, scope);
}

void Bridge::BeforeWait() {
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
  due_ = false;
  if (direct_) LookAtWrites();
  // Node may have nothing to write that would take it along.
  if (!insert_.empty() || ForwardsItself()) Forward();
  if (IsOpen() && paused_ && CanFeed() && NodeReads()) paused_ = stalled_ = false;
  if (IsOpen() && read_to_end_ && !paused_) Feed();
  if (IsOpen()) {
    UpdateWatch();
    if (paused_) turns_paused_++;
    if (paused_ || read_to_end_ || (direct_ && epoll_tells_of_room_)) MarkDue();
  }
  napi_close_handle_scope(env_, scope);
}

void Bridge::MarkDue() {
  if (std::exchange(due_, true)) return;
  environment_.AddDue(this);
}

void Bridge::Pause() {
  if (std::exchange(paused_, true)) return;
  // Whether Node writes anything is to be seen, unless it is seen already.
  if (!WritesWait()) LeaveDirect();
  paused_at_ = uv_now(environment_.loop());
  turns_paused_ = 0;
  taken_when_paused_ = taken_;
  MarkDue();
  environment_.WatchForStalls();
}

bool Bridge::CheckStalled() {
  if (!paused_ || stalled_) return false;
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return false;
  const bool again = TellStalled();
  napi_close_handle_scope(env_, scope);
  return again;
}

bool Bridge::TellStalled() {
  if (!CanFeed()) return false;
  if (NodeReads()) return true;
  // Under TLS, a write of HTTP/2 ends a turn later than that of the pair. With one in each turn, Node reads for a moment in between, and
  // never when the event loop waits.
  if (std::exchange(taken_when_paused_, taken_) != taken_) {
    paused_at_ = uv_now(environment_.loop());
    turns_paused_ = 0;
  }
  if (!rest_.empty() || WritesWait()) {
    paused_at_ = uv_now(environment_.loop());
    turns_paused_ = 0;
  }
  if (turns_paused_ < kStalledTurns || uv_now(environment_.loop()) - paused_at_ < kStalledMs) return true;
  stalled_ = true;
  Emit(Event::kStalled);
  return false;
}

// Hands to Node what has come, as uv__read does.
void Bridge::Feed() {
  read_in_turn_ = false;
  Clock::time_point last = Clock::now();
  const Clock::time_point turn_ends = last + kTimePerTurn;
  size_t descriptors = 0;
  for (int reads = 0; reads < kReadsPerTurn && !reading_ended_ && reading_wanted_ && CanFeed(); reads++) {
    if (!NodeReads()) return Pause();
    const double before = bytes_read_;
    const bool more = FeedOnce(&descriptors);
    const Clock::time_point now = Clock::now();
    AdaptReadSize(static_cast<size_t>(bytes_read_ - before), now - last);
    if (!more || descriptors >= kDescriptorsPerTurn || (now > turn_ends && !peer_closed_)) return;
    last = now;
  }
}

// So that a read does not take much longer than a turn may. A call may be as short as some tens of bytes, and take a millisecond.
void Bridge::AdaptReadSize(size_t bytes, std::chrono::nanoseconds took) {
  if (took > kTimePerTurn) read_size_ = bytes * static_cast<size_t>(kTimePerTurn / std::chrono::microseconds{1}) / static_cast<size_t>(took / std::chrono::microseconds{1});
  else if (read_size_ < kReadSize && took < kTimePerTurn / 4) read_size_ *= 2;
  read_size_ = std::clamp(read_size_, kSmallestRead, kReadSize);
}

// One recvmsg into memory of Node's. Adds the descriptors that came. False: there is nothing more at present, or ever.
bool Bridge::FeedOnce(size_t* descriptors) {
  uv_buf_t buffer = uv_buf_init(nullptr, 0);
  stream_->alloc_cb(reinterpret_cast<uv_handle_t*>(stream_), kReadSize, &buffer);
  if (buffer.base == nullptr || buffer.len == 0) {
    stream_->read_cb(stream_, UV_ENOBUFS, &buffer);
    return false;
  }
  const size_t room = std::min<size_t>(buffer.len, read_size_);
  ReceivedMessage message = ReceiveMessage(socket_.Get(), buffer.base, room);
  const ssize_t bytes = message.bytes;
  *descriptors += message.descriptors.size();
  const bool brought = !message.descriptors.empty() || message.truncated;
  if (brought) {
    napi_value memory = nullptr;
    FdList arrived;
    if (napi_get_reference_value(env_, arrived_, &memory) == napi_ok && ReadFds(env_, memory, &arrived)) {
      LeaveDescriptors(environment_, account_, std::move(message), arrived);
      TellArrived();
    }
    // It threw, and a handler of uncaught exceptions destroyed the socket.
    if (stream_ == nullptr) return false;
  }
  if (bytes > 0) {
    read_in_turn_ = true;
    bytes_read_ += static_cast<double>(bytes);
    feeding_ = true;
    stream_->read_cb(stream_, bytes, &buffer);
    feeding_ = false;
    if (std::exchange(tells_answered_, false)) {
      Forward();
      if (IsOpen()) Emit(Event::kAnswered);
    }
    if (brought) RunTicks();
    // A message with descriptors ends a read early. Memory for another read is not free.
    return (brought && HasUnread()) || peer_closed_ || static_cast<size_t>(bytes) == room;
  }
  if (bytes == -EAGAIN) {
    stream_->read_cb(stream_, 0, &buffer);
    if (read_to_end_ && IsOpen()) {
      read_to_end_ = false;
      Emit(Event::kDrained);
    }
    return false;
  }
  reading_ended_ = true;
  read_to_end_ = false;
  // A peer that closed with our bytes unread resets the connection. Behind what was read in this turn, that is the end for Node, as with
  // the libuv of Node 20 and 22: after a GOAWAY, a reset would turn the UNAVAILABLE of calls into INTERNAL.
  if (bytes == 0 || (bytes == -ECONNRESET && read_in_turn_)) {
    // As uv__stream_eof does: reading stops, and the end is reported. If Node reads again, it finds the end in the pair. Until that, epoll
    // tells libuv of the end again and again, if libuv cannot take the near end out by its number.
    LeaveDirect();
    shutdown(far_.Get(), SHUT_WR);
    const uv_read_cb read = stream_->read_cb;
    uv_read_stop(stream_);
    read(stream_, UV_EOF, &buffer);
  } else {
    stream_->read_cb(stream_, bytes, &buffer);
  }
  return false;
}

// Whether bytes wait at the socket. Where the kernel does not tell, there may be some.
bool Bridge::HasUnread() const {
  int bytes = 0;
  return ioctl(socket_.Get(), FIONREAD, &bytes) != 0 || bytes > 0;
}

void Bridge::Forward() {
  if (!IsOpen() || blocked_ || writing_ended_ || outgoing_ == Outgoing::kHeld) return;
  if (outgoing_ == Outgoing::kScript) {
    Emit(Event::kOutgoing);
    return;
  }
  const Scratch scratch = environment_.scratch();
  for (int round = 0; round < kForwardsPerTurn; round++) {
    const bool fresh = rest_.empty();
    const uint8_t* data = fresh ? scratch.data : rest_.data() + rest_offset_;
    ssize_t size = static_cast<ssize_t>(rest_.size() - rest_offset_);
    if (fresh) {
      size = TakeWritten(scratch.data, scratch.size);
      if (size < 0) return EnterDirect();
      if (size == 0) return FinishWriting();
      if (outgoing_ == Outgoing::kDiscard) {
        if (std::exchange(discarded_, true)) continue;
        Emit(Event::kSendFailed, EPIPE);
        return;
      }
    }
    iovec buffer = {const_cast<uint8_t*>(data), static_cast<size_t>(size)};
    const ssize_t sent = SendMessage(socket_.Get(), &buffer, 1, nullptr, 0);
    const size_t gone = sent > 0 ? static_cast<size_t>(sent) : 0;
    bytes_written_ += static_cast<double>(gone);
    const bool all = gone == static_cast<size_t>(size);
    if (!fresh) DropRest(gone);
    else if (!all) KeepRest(data + gone, static_cast<size_t>(size) - gone);
    if (all) continue;
    if (sent >= 0 || sent == -EAGAIN) blocked_ = true;
    else Emit(Event::kSendFailed, static_cast<int>(-sent));
    return;
  }
}

// What comes is for nobody any more. The peer learns it as from a closed socket: its writes fail. They do not wait either, so that
// two ends which close with their buffers full do not wait for each other.
void Bridge::StopReceiving() {
  shutdown(socket_.Get(), SHUT_RD);
  const Scratch scratch = environment_.scratch();
  ssize_t taken = -1;
  do {
    taken = recv(socket_.Get(), scratch.data, scratch.size, MSG_DONTWAIT);
  } while (taken > 0 || (taken < 0 && errno == EINTR));
}

void Bridge::KeepRest(const uint8_t* data, size_t size) {
  rest_.assign(data, data + size);
  rest_offset_ = 0;
}

void Bridge::DropRest(size_t size) {
  rest_offset_ += size;
  if (rest_offset_ == rest_.size()) ForgetRest();
}

void Bridge::ForgetRest() {
  // Of a connection that was blocked once, nothing is to stay.
  std::vector<uint8_t>().swap(rest_);
  rest_offset_ = 0;
}

// What Node wrote to the pair, and what is inserted: the number of bytes, 0 at the end, or -EAGAIN.
ssize_t Bridge::TakeWritten(uint8_t* data, size_t size) {
  if (writing_ended_) return -EAGAIN;
  if (!insert_.empty()) {
    const uint64_t before = insert_at_ - taken_;
    if (before == 0) {
      const size_t inserted = insert_.size();
      memcpy(data, insert_.data(), inserted);
      insert_.clear();
      return static_cast<ssize_t>(inserted);
    }
    if (before < size) size = before;
  }
  ssize_t taken = -1;
  do {
    taken = recv(far_.Get(), data, size, MSG_DONTWAIT);
  } while (taken < 0 && errno == EINTR);
  if (taken < 0) return -EAGAIN;
  taken_ += static_cast<uint64_t>(taken);
  return taken;
}

// The same, behind what was taken before and is still to be sent.
ssize_t Bridge::TakeOutgoing(uint8_t* data, size_t size) {
  if (rest_.empty()) return TakeWritten(data, size);
  const size_t left = rest_.size() - rest_offset_;
  const size_t taken = left < size ? left : size;
  memcpy(data, rest_.data() + rest_offset_, taken);
  DropRest(taken);
  return static_cast<ssize_t>(taken);
}

short Bridge::Poll(int fd, short events) {
  pollfd entry = {fd, events, 0};
  if (poll(&entry, 1, 0) != 1) return 0;
  return entry.revents;
}

void Bridge::FinishWriting() {
  if (std::exchange(writing_ended_, true)) return;
  shutdown(socket_.Get(), SHUT_WR);
  UpdateWatch();
  Emit(Event::kFlushed);
}

// The peer has closed the connection, and nobody is reading.
void Bridge::HangUp() {
  if (hung_up_ || (Poll(socket_.Get(), 0) & (POLLHUP | POLLERR)) == 0) return;
  hung_up_ = true;
  if (blocked_) Unblock();
  else Emit(Event::kHungUp);
}

// Has the event loop watch what is wanted, no more.
void Bridge::UpdateWatch() {
  int socket = 0;
  if (stream_ != nullptr && !reading_ended_ && !paused_ && reading_wanted_) socket |= UV_READABLE | UV_DISCONNECT;
  if (blocked_) socket |= UV_WRITABLE;
  // A unix socket never is ready for this, so what comes is the hang-up, which epoll reports whatever is asked of it.
  if (socket == 0 && !hung_up_) socket = UV_PRIORITIZED;
  if (socket != socket_watched_) {
    socket_watched_ = socket;
    if (socket == 0) uv_poll_stop(socket_poll_);
    else uv_poll_start(socket_poll_, socket, OnSocket);
  }
  const bool forwards = !blocked_ && !writing_ended_ && outgoing_ != Outgoing::kHeld;
  if (forwards_ != forwards) {
    if (environment_.far_ends().Watch(far_.Get(), this, forwards) == 0) forwards_ = forwards;
    else MarkDue();
  }
  // Over a stock socket, the write that the kernel has not taken would still be under way, and a write keeps the process alive,
  // whether its socket does or not.
  const bool keeps_process = ref_ || (blocked_ && stream_ != nullptr);
  if (std::exchange(keeps_process_, keeps_process) == keeps_process) return;
  if (keeps_process) uv_ref(AsHandle(socket_poll_));
  else uv_unref(AsHandle(socket_poll_));
}

// Calls JavaScript in a callback scope of its own, as every event of Node's does.
void Bridge::Emit(Event event, int value) {
  // What is forwarded then may fail, or end, and no JavaScript can be told. There may be no scope for handles either.
  if (environment_.is_torn_down()) return;
  napi_value receiver = nullptr;
  napi_value callback = nullptr;
  napi_value arguments[2] = {};
  napi_get_reference_value(env_, self_, &receiver);
  napi_get_reference_value(env_, on_event_, &callback);
  napi_create_int32(env_, static_cast<int>(event), &arguments[0]);
  napi_create_int32(env_, value, &arguments[1]);
  ReportException(env_, napi_make_callback(env_, async_context_, receiver, callback, std::size(arguments), arguments, nullptr));
}

// Tells JavaScript of descriptors before Node gets the bytes that they came with. No promise or tick runs in between:
// with stock, nothing of the user's does either.
void Bridge::TellArrived() {
  napi_value receiver = nullptr;
  napi_value callback = nullptr;
  napi_value arguments[2] = {};
  napi_get_reference_value(env_, self_, &receiver);
  napi_get_reference_value(env_, on_event_, &callback);
  napi_create_int32(env_, static_cast<int>(Event::kArrived), &arguments[0]);
  napi_create_int32(env_, 0, &arguments[1]);
  ReportException(env_, napi_call_function(env_, receiver, callback, std::size(arguments), arguments, nullptr));
}

// For promises that TellArrived settled: the bytes may have been such that Node calls no JavaScript.
void Bridge::RunTicks() {
  napi_value resource = nullptr;
  napi_callback_scope scope = nullptr;
  if (self_ == nullptr) return;
  napi_get_reference_value(env_, self_, &resource);
  if (napi_open_callback_scope(env_, resource, async_context_, &scope) == napi_ok) {
    napi_close_callback_scope(env_, scope);
  }
}

}  // namespace grpcfd
