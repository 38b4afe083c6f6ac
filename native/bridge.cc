#include "bridge.h"

#include <cerrno>
#include <cstring>
#include <iterator>
#include <linux/sockios.h>
#include <new>
#include <poll.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <utility>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "message.h"
#include "socket-calls.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// As many as libuv makes in a turn (uv__read), so that no connection starves the others.
constexpr int kReadsPerTurn = 32;
// What libuv asks Node to make room for.
constexpr size_t kReadSize = 64 * 1024;
// Times that the memory for forwarding is filled in a turn.
constexpr int kForwardsPerTurn = 16;

// Node stops reading while it writes. For longer than this, and without writing anything, it does so only where a write goes nowhere, or
// for good.
constexpr uint64_t kStalledMs = 250;

struct Search {
  int fd;
  uv_stream_t* found;
};

// The stream of libuv whose descriptor is `fd`.
uv_stream_t* FindStream(uv_loop_t* loop, int fd) {
  Search search = {fd, nullptr};
  const auto visit = [](uv_handle_t* handle, void* data) {
    auto* wanted = static_cast<Search*>(data);
    uv_os_fd_t number = -1;
    if (uv_handle_get_type(handle) == UV_NAMED_PIPE && uv_fileno(handle, &number) == 0 && number == wanted->fd) {
      wanted->found = reinterpret_cast<uv_stream_t*>(handle);
    }
  };
  uv_walk(loop, visit, &search);
  return search.found;
}

// The size is asked of the libuv in this process: it is not the same in every Node.js version that loads this binary.
uv_poll_t* NewPoll() { return static_cast<uv_poll_t*>(::operator new(uv_handle_size(UV_POLL))); }

uv_handle_t* AsHandle(uv_poll_t* poll) { return reinterpret_cast<uv_handle_t*>(poll); }

short Poll(int fd, short events) {
  pollfd entry = {fd, events, 0};
  return poll(&entry, 1, 0) == 1 ? entry.revents : 0;
}

}  // namespace

napi_value Bridge::DefineClass(napi_env env) {
  return grpcfd::DefineClass(env, "Bridge", Construct,
                             {{"setOutgoing", SetOutgoing},
                              {"setBlocked", SetBlocked},
                              {"forward", ForwardMethod},
                              {"take", Take},
                              {"send", Send},
                              {"probe", Probe},
                              {"insert", Insert},
                              {"endWriting", EndWriting},
                              {"readToEnd", ReadToEnd},
                              {"detach", Detach},
                              {"peerInode", PeerInode},
                              {"unread", Unread},
                              {"ref", Ref},
                              {"bytesRead", BytesRead},
                              {"bytesWritten", BytesWritten},
                              {"close", CloseMethod}});
}

// new Bridge([socket, far, near], arrived, onEvent): takes over `socket` and `far` unless it throws.
napi_value Bridge::Construct(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  FdList fds;
  FdList arrived;
  if (!arguments.Fds(0, &fds) || !arguments.Fds(1, &arrived)) return nullptr;
  if (fds.size != 3 || arrived.size < kArrivedLength) return ThrowSystemError(env, EINVAL, "recvmsg");
  if (const int error = CheckUnixStream(fds.data[0]); error != 0) return ThrowSystemError(env, error, "getsockopt");

  auto* bridge = new Bridge(env, Environment::Of(env));
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<Bridge*>(data); };
  if (napi_wrap(env, arguments.self(), bridge, finalize, nullptr, nullptr) != napi_ok) {
    delete bridge;
    return nullptr;
  }
  napi_value name = nullptr;
  if (napi_create_reference(env, arguments.self(), 1, &bridge->self_) != napi_ok ||
      napi_create_reference(env, arguments[1], 1, &bridge->arrived_) != napi_ok ||
      napi_create_reference(env, arguments[2], 1, &bridge->on_event_) != napi_ok ||
      napi_create_string_utf8(env, "GRPCFD_BRIDGE", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, arguments.self(), name, &bridge->async_context_) != napi_ok) {
    bridge->ReleaseReferences();
    return nullptr;
  }
  if (const int error = bridge->Start(fds.data[0], fds.data[1], fds.data[2]); error != 0) {
    bridge->ReleaseReferences();
    return ThrowSystemError(env, error, "uv_poll_init");
  }
  return arguments.self();
}

Bridge::~Bridge() { ::operator delete(socket_poll_); }

int Bridge::Start(int socket, int far, int near) {
  uv_stream_t* stream = FindStream(environment_.loop(), near);
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
  socket_ = OwnFd(socket);
  far_ = OwnFd(far);
  environment_.Unguard(socket);
  environment_.Unguard(far);
  environment_.Add(this);
  UpdateWatch();
  return 0;
}

void Bridge::Close() {
  if (!IsOpen()) return;
  stream_ = nullptr;
  // A terminated worker runs no JavaScript any more. What Node has written is with the kernel all the same, where it is stock.
  if (environment_.is_torn_down() && outgoing_ == Outgoing::kNative) Forward();
  uv_close(AsHandle(socket_poll_), OnClosed);
  // libuv allows this as soon as uv_close has been called: the descriptor is out of the epoll set by then.
  socket_.Reset();
  environment_.RemoveFarEnd(far_.Get());
  far_.Reset();
  ForgetRest();
  if (std::exchange(due_, false)) environment_.RemoveDue(this);
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
    events = UV_READABLE | UV_WRITABLE | UV_PRIORITIZED;
  }
  if ((events & UV_READABLE) != 0) self->Feed();
  if (self->IsOpen() && (events & UV_WRITABLE) != 0 && self->blocked_) {
    self->blocked_ = false;
    self->Forward();
  }
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
  // Node may have nothing to write that would take it along.
  if (!insert_.empty()) Forward();
  if (IsOpen() && paused_ && CanFeed() && NodeReads()) paused_ = stalled_ = false;
  if (IsOpen() && read_to_end_ && !paused_) Feed();
  if (IsOpen()) {
    UpdateWatch();
    if (paused_ || read_to_end_) MarkDue();
  }
  napi_close_handle_scope(env_, scope);
}

void Bridge::MarkDue() {
  if (std::exchange(due_, true)) return;
  environment_.AddDue(this);
}

void Bridge::Pause() {
  if (std::exchange(paused_, true)) return;
  paused_at_ = uv_now(environment_.loop());
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
  if (!CanFeed() || NodeReads()) return false;
  // Under TLS, a write of HTTP/2 ends a turn later than that of the pair. With one in each turn, Node reads for a moment in between, and
  // never when the event loop waits.
  if (std::exchange(taken_when_paused_, taken_) != taken_) paused_at_ = uv_now(environment_.loop());
  const bool writing = !rest_.empty() || uv_stream_get_write_queue_size(stream_) > 0;
  if (writing || uv_now(environment_.loop()) - paused_at_ < kStalledMs) return true;
  stalled_ = true;
  Emit(Event::kStalled);
  return false;
}

// Hands to Node what has come, as uv__read does.
void Bridge::Feed() {
  for (int reads = 0; reads < kReadsPerTurn && !reading_ended_ && CanFeed(); reads++) {
    if (!NodeReads()) return Pause();
    if (!FeedOnce()) return;
  }
}

// One recvmsg into memory of Node's. False: there is nothing more at present, or ever.
bool Bridge::FeedOnce() {
  uv_buf_t buffer = uv_buf_init(nullptr, 0);
  stream_->alloc_cb(reinterpret_cast<uv_handle_t*>(stream_), kReadSize, &buffer);
  if (buffer.base == nullptr || buffer.len == 0) {
    stream_->read_cb(stream_, UV_ENOBUFS, &buffer);
    return false;
  }
  const size_t room = buffer.len;
  ReceivedMessage message = ReceiveMessage(socket_.Get(), buffer.base, room);
  const ssize_t bytes = message.bytes;
  const bool brought = !message.descriptors.empty() || message.truncated;
  if (brought) {
    napi_value memory = nullptr;
    FdList arrived;
    if (napi_get_reference_value(env_, arrived_, &memory) == napi_ok && ReadFds(env_, memory, &arrived)) {
      LeaveDescriptors(environment_, std::move(message), arrived);
      TellArrived();
    }
    // It threw, and a handler of uncaught exceptions destroyed the socket.
    if (stream_ == nullptr) return false;
  }
  if (bytes > 0) {
    bytes_read_ += static_cast<double>(bytes);
    stream_->read_cb(stream_, bytes, &buffer);
    if (brought) RunTicks();
    // A message with descriptors ends a read early: there may be more behind it.
    return brought || static_cast<size_t>(bytes) == room;
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
  // A peer that closed with our bytes unread resets the connection. Behind what it had sent, that is the end for Node, as it mostly is
  // with the libuv of Node 20 and 22: after a GOAWAY, a reset would turn the UNAVAILABLE of calls into INTERNAL.
  if (bytes == 0 || (bytes == -ECONNRESET && bytes_read_ > 0)) {
    // Node's own read of the pair reports the end, and libuv keeps its books as ever.
    stream_->read_cb(stream_, 0, &buffer);
    if (IsOpen()) shutdown(far_.Get(), SHUT_WR);
  } else {
    stream_->read_cb(stream_, bytes, &buffer);
  }
  return false;
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
      if (size < 0) return;
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
  ssize_t taken;
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
  ssize_t taken;
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
  if (std::exchange(blocked_, false)) Forward();
  else Emit(Event::kHungUp);
}

// Has the event loop watch what is wanted, no more.
void Bridge::UpdateWatch() {
  int socket = 0;
  if (stream_ != nullptr && !reading_ended_ && !paused_) socket |= UV_READABLE;
  if (blocked_) socket |= UV_WRITABLE;
  // A unix socket never is ready for this, so what comes is the hang-up, which epoll reports whatever is asked of it.
  if (socket == 0 && !hung_up_) socket = UV_PRIORITIZED;
  if (socket != socket_watched_) {
    socket_watched_ = socket;
    if (socket == 0) uv_poll_stop(socket_poll_);
    else uv_poll_start(socket_poll_, socket, OnSocket);
  }
  const bool forwards = !blocked_ && !writing_ended_ && outgoing_ != Outgoing::kHeld;
  if (std::exchange(forwards_, forwards) != forwards) environment_.far_ends().Watch(far_.Get(), this, forwards);
  // Over a stock socket, the write that the kernel has not taken would still be under way, and a write keeps the process alive,
  // whether its socket does or not.
  const bool keeps_process = ref_ || (blocked_ && stream_ != nullptr);
  if (std::exchange(keeps_process_, keeps_process) == keeps_process) return;
  if (keeps_process) uv_ref(AsHandle(socket_poll_));
  else uv_unref(AsHandle(socket_poll_));
}

// Calls JavaScript in a callback scope of its own, as every event of Node's does.
void Bridge::Emit(Event event, int value) {
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

// The open bridge behind `self`, or nullptr with an exception pending.
Bridge* Bridge::Unwrap(napi_env env, napi_value self) {
  void* data = nullptr;
  if (napi_unwrap(env, self, &data) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_THIS", "not a Bridge");
    return nullptr;
  }
  auto* bridge = static_cast<Bridge*>(data);
  if (bridge->IsOpen()) return bridge;
  ThrowSystemError(env, EBADF, "sendmsg");
  return nullptr;
}

napi_value Bridge::SetOutgoing(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int outgoing = 0;
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr || !arguments.Int(0, &outgoing)) return nullptr;
  bridge->outgoing_ = static_cast<Outgoing>(outgoing);
  if (bridge->outgoing_ == Outgoing::kDiscard) {
    bridge->ForgetRest();
    bridge->insert_.clear();
    bridge->blocked_ = false;
  }
  bridge->UpdateWatch();
  bridge->MarkDue();
  return nullptr;
}

napi_value Bridge::SetBlocked(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  bridge->blocked_ = true;
  bridge->UpdateWatch();
  return nullptr;
}

napi_value Bridge::ForwardMethod(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  bridge->Forward();
  if (bridge->IsOpen()) bridge->UpdateWatch();
  return nullptr;
}

napi_value Bridge::Take(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bytes buffer;
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr || !arguments.GetBytes(0, &buffer)) return nullptr;
  return MakeInt(env, bridge->TakeOutgoing(buffer.data, buffer.size));
}

napi_value Bridge::Send(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  napi_value result = SendArguments(env, arguments, bridge->socket_.Get());
  int64_t sent = 0;
  if (result != nullptr && napi_get_value_int64(env, result, &sent) == napi_ok && sent > 0) {
    bridge->bytes_written_ += static_cast<double>(sent);
  }
  return result;
}

napi_value Bridge::Probe(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  return bridge == nullptr ? nullptr : ProbeArgument(env, arguments, bridge->socket_.Get());
}

// insert(bytes): sends them behind all that Node has written, if that ends with a whole write of Node's, which nothing has been
// inserted behind yet. Returns whether it does.
napi_value Bridge::Insert(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bytes bytes;
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr || !arguments.GetBytes(0, &bytes)) return nullptr;
  int waiting = 0;
  bool possible = bridge->CanFeed() && bridge->insert_.empty() && !bridge->writing_ended_ && bytes.size <= kReadSize &&
                  uv_stream_get_write_queue_size(bridge->stream_) == 0 &&
                  ioctl(bridge->far_.Get(), FIONREAD, &waiting) == 0;
  const uint64_t written = bridge->taken_ + static_cast<uint64_t>(waiting);
  // A server's first write is its SETTINGS, which nothing may come before.
  if (written == 0) possible = false;
  if (possible) {
    bridge->insert_.assign(bytes.data, bytes.data + bytes.size);
    bridge->insert_at_ = written;
    bridge->MarkDue();
  }
  napi_value result = nullptr;
  napi_get_boolean(env, possible, &result);
  return result;
}

napi_value Bridge::EndWriting(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge != nullptr) bridge->FinishWriting();
  return nullptr;
}

napi_value Bridge::ReadToEnd(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  bridge->read_to_end_ = !bridge->reading_ended_;
  bridge->MarkDue();
  return nullptr;
}

// detach(held): Node is about to close its handle; `held`: JavaScript has taken something and not sent it yet. Returns how things
// stand with what Node wrote: 0, all has been forwarded; 1, not all, and
// Node has shut its side down; 2, not all, and it has not.
napi_value Bridge::Detach(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  bool held = false;
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr || !arguments.Bool(0, &held)) return nullptr;
  bridge->stream_ = nullptr;
  bridge->read_to_end_ = false;
  bridge->Forward();
  int state = 0;
  if (bridge->IsOpen()) {
    const short ready = Poll(bridge->far_.Get(), POLLIN | POLLRDHUP);
    uint8_t byte = 0;
    const bool left = held || !bridge->rest_.empty() || recv(bridge->far_.Get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
    if (left) {
      state = (ready & POLLRDHUP) != 0 ? 1 : 2;
      bridge->StopReceiving();
    }
    bridge->UpdateWatch();
  }
  return MakeInt(env, state);
}

napi_value Bridge::PeerInode(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  uint64_t device = 0;
  uint64_t inode = 0;
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr || !FindPeer(bridge->socket_.Get(), &device, &inode)) return nullptr;
  const std::string text = std::to_string(device) + "/" + std::to_string(inode);
  napi_value result = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &result);
  return result;
}

// Memory that what the peer has not read takes up in the kernel (SIOCOUTQ).
napi_value Bridge::Unread(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  int bytes = 0;
  if (ioctl(bridge->socket_.Get(), SIOCOUTQ, &bytes) != 0) return ThrowSystemError(env, errno, "ioctl");
  return MakeInt(env, bytes + static_cast<int>(bridge->insert_.size()));
}

// ref(): keeps the process alive from now on.
napi_value Bridge::Ref(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  bridge->ref_ = true;
  bridge->UpdateWatch();
  return nullptr;
}

napi_value Bridge::BytesRead(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  void* data = nullptr;
  napi_value result = nullptr;
  if (napi_unwrap(env, arguments.self(), &data) == napi_ok) {
    napi_create_double(env, static_cast<Bridge*>(data)->bytes_read_, &result);
  }
  return result;
}

napi_value Bridge::BytesWritten(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  void* data = nullptr;
  napi_value result = nullptr;
  if (napi_unwrap(env, arguments.self(), &data) == napi_ok) {
    napi_create_double(env, static_cast<Bridge*>(data)->bytes_written_, &result);
  }
  return result;
}

napi_value Bridge::CloseMethod(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  void* data = nullptr;
  if (napi_unwrap(env, arguments.self(), &data) == napi_ok) static_cast<Bridge*>(data)->Close();
  return nullptr;
}

}  // namespace grpcfd
