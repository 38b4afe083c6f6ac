#ifndef GRPCFD_BRIDGE_H_
#define GRPCFD_BRIDGE_H_

#include <node_api.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "libuv.h"
#include "loop-handle.h"
#include "own-fd.h"

namespace grpcfd {

class Environment;

// What libuv asks Node to make room for.
constexpr size_t kReadSize = size_t{64} * 1024;

// The class `Bridge` of JavaScript: it lets a stock net.Socket of Node use a connection that carries descriptors.
//
//   HTTP/2 or TLS  <->  net.Socket over `near`  <-- socketpair -->  `far`  <->  Bridge  <->  `socket`
//
// The net.Socket is Node's own, over one end of a socketpair. What the peer sends is received with recvmsg, straight into
// the memory that Node offers, and handed to Node as libuv would hand it over: nothing is written to the pair. What Node
// writes goes into the pair, and is forwarded to the peer from its other end, with descriptors where some wait.
//
// While nothing waits to travel with it, Node writes to `socket` itself. The bridge is direct then: its number of the near end stands for
// `socket`, by dup3, and `near_` keeps the near end open. libuv's epoll set knows that number as the near end's all the while. So the near
// end is put back before libuv tells epoll of a change to it, which it does when it waits next: epoll would not find it.
//
// A direct write that the kernel does not take has libuv wait until the number can be written to. For epoll that is the near end, so the
// bridge fills the pair with bytes of its own, and takes them out when the kernel takes more. Nothing of Node's goes through the pair for it.
//
// This class is the one place that leans on libuv: on `alloc_cb` and `read_cb` of uv_stream_t, two fields of its public
// header. uv_read_start sets both, uv_read_stop clears both, in every libuv of Node 20 to 26 (src/unix/stream.c). They are
// called as uv__read calls them: on the loop's thread, outside of any callback scope, so that Node runs promises and ticks
// where it always does. test/native/bridge.test.ts holds this for each version of Node.
class Bridge final : public LoopHandle {
 public:
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  bool Uses(int fd) const override { return fd == far_.Get() || fd == near_.Get(); }
  static napi_value DefineClass(napi_env env);

  // Leaves the event loop and closes the connection. What Node wrote and the kernel has not taken is lost.
  void Close() override;

  // What Node has written goes to the kernel, as what a stock socket has written.
  void BeforeExit() override;

  // Before the event loop waits: Node has written something.
  void OnWritten();

  // Before the event loop tells epoll of a change to Node's stream: epoll knows the near end, and nothing else, by that number.
  void BeforeChange();

  // After the event loop has waited, for a bridge that is due: what Node writes in this turn shall not go through the pair.
  void AfterWait();

  // Before each wait of the event loop, for a bridge that is due: sends what is inserted, and looks whether Node reads again.
  void BeforeWait();

  // Tells JavaScript if Node has not been reading for long, though it has nothing to write. Returns whether to ask again.
  bool CheckStalled();

  // Passes on what the kernel takes now. The process is about to exit.
  void Forward();

 private:
  // Who forwards what Node wrote. See OUTGOING in src/native/types.ts.
  enum class Outgoing { kNative, kScript, kHeld, kDiscard };
  // What JavaScript is told. See BRIDGE_EVENT in src/native/types.ts.
  enum class Event { kArrived, kOutgoing, kSendFailed, kFlushed, kHungUp, kDrained, kStalled, kAnswered };

  Bridge(napi_env env, Environment& environment);
  ~Bridge();

  static napi_value Construct(napi_env env, napi_callback_info info);
  static napi_value SetOutgoing(napi_env env, napi_callback_info info);
  static napi_value SetBlocked(napi_env env, napi_callback_info info);
  static napi_value IsBlocked(napi_env env, napi_callback_info info);
  static napi_value SetReading(napi_env env, napi_callback_info info);
  static napi_value ForwardMethod(napi_env env, napi_callback_info info);
  static napi_value Take(napi_env env, napi_callback_info info);
  static napi_value Send(napi_env env, napi_callback_info info);
  static napi_value Probe(napi_env env, napi_callback_info info);
  static napi_value Insert(napi_env env, napi_callback_info info);
  static napi_value EndWriting(napi_env env, napi_callback_info info);
  static napi_value ReadToEnd(napi_env env, napi_callback_info info);
  static napi_value TellAnswered(napi_env env, napi_callback_info info);
  static napi_value Detach(napi_env env, napi_callback_info info);
  static napi_value PeerInode(napi_env env, napi_callback_info info);
  static napi_value Unread(napi_env env, napi_callback_info info);
  static napi_value Account(napi_env env, napi_callback_info info);
  static napi_value Ref(napi_env env, napi_callback_info info);
  static napi_value BytesRead(napi_env env, napi_callback_info info);
  static napi_value BytesForwarded(napi_env env, napi_callback_info info);
  static napi_value BytesInPair(napi_env env, napi_callback_info info);
  static napi_value CloseMethod(napi_env env, napi_callback_info info);

  static void OnSocket(uv_poll_t* poll, int status, int events);
  static void OnClosed(uv_handle_t* handle);

  static Bridge* Unwrap(napi_env env, napi_value self);
  // Which of `events`, or an error or a hang-up, there are at once.
  static short Poll(int fd, short events);

  int Start(int socket, int far, int near);
  bool IsOpen() const { return socket_.IsOpen(); }
  // Whether Node's stream may be touched: it is there, and the environment is not being torn down, which closes the handles of
  // Node without a word to JavaScript.
  bool CanFeed() const;
  void StartDirect();
  void EnterDirect();
  bool MayBeDirect() const;
  bool KeepNearEnd();
  void BecomeDirect();
  void LeaveDirect();
  void PutNearEndBack();
  void ExpectWrite();
  void HoldWrites();
  void LookAtWrites();
  void ReleaseWrites();
  void Unblock();
  bool HasNumber() const;
  void GiveUp();
  // What Node writes comes out of the pair, and goes on without JavaScript.
  bool ForwardsItself() const { return !direct_ && outgoing_ == Outgoing::kNative; }
  // The event loop is going to tell epoll of a change to Node's stream.
  bool StreamChanges() const;
  // The event loop watches Node's stream for something.
  bool IsWatched() const;
  void ForgetInEpoll();
  bool NodeReads() const { return stream_ != nullptr && stream_->read_cb != nullptr; }
  // libuv has bytes of Node's that the kernel has not taken.
  bool WritesWait() const { return CanFeed() && uv_stream_get_write_queue_size(stream_) > 0; }
  void Feed();
  bool FeedOnce(size_t* descriptors);
  bool HasUnread() const;
  void AdaptReadSize(size_t bytes, std::chrono::nanoseconds took);
  ssize_t TakeWritten(uint8_t* data, size_t size);
  ssize_t TakeOutgoing(uint8_t* data, size_t size);
  void KeepRest(const uint8_t* data, size_t size);
  void DropRest(size_t size);
  void ForgetRest();
  void FinishWriting();
  void HangUp();
  void StopReceiving();
  void Pause();
  bool TellStalled();
  void MarkDue();
  void UpdateWatch();
  void Emit(Event event, int value = 0);
  void TellArrived();
  void RunTicks();
  void ReleaseReferences();

  napi_env env_;
  Environment& environment_;
  // On which what comes is closed.
  const uint32_t account_;
  OwnFd socket_;
  OwnFd far_;
  // The near end under a number of the bridge, from the start. Not open if the table of descriptors was full.
  OwnFd near_;
  // Node's number of the near end.
  int number_ = -1;
  // Node writes to the socket itself.
  bool direct_ = false;
  // It has left its direct mode for one wait of the event loop.
  bool left_for_wait_ = false;
  // SO_SNDBUF of the near end.
  int pair_buffer_ = 0;
  // Bytes of ours in the pair, which is full for libuv by them. While there are any, blocked_ is set, and nothing is in the pair before them.
  size_t filler_ = 0;
  // The pair cannot be filled in this way.
  bool cannot_hold_ = false;
  // The kernel has told that it takes more, at a moment at which the filler had to stay.
  bool release_is_due_ = false;
  // As far as the bridge knows, epoll is to tell libuv when the number can be written to.
  bool epoll_tells_of_room_ = false;
  // How many times the event loop has to wait until libuv has surely tried again.
  int waits_to_write_ = 0;
  // Node's: freed some time after uv_close. nullptr from Detach on, which JavaScript calls before that.
  uv_stream_t* stream_ = nullptr;
  uv_poll_t* socket_poll_ = nullptr;
  int socket_watched_ = 0;
  // The far end is watched.
  bool forwards_ = true;
  Outgoing outgoing_ = Outgoing::kNative;
  // Taken from the pair, and not yet from us by the kernel.
  std::vector<uint8_t> rest_;
  size_t rest_offset_ = 0;
  // Bytes that go out behind the first `insert_at_` bytes of Node's.
  std::vector<uint8_t> insert_;
  uint64_t insert_at_ = 0;
  // Bytes of Node's that were taken from the pair.
  uint64_t taken_ = 0;
  // The kernel takes no more at present.
  bool blocked_ = false;
  // Node has ended its side, and all that it wrote has been sent.
  bool writing_ended_ = false;
  bool reading_ended_ = false;
  // False: JavaScript wants nothing to be read for now.
  bool reading_wanted_ = true;
  bool read_in_turn_ = false;
  // Less where the program takes long for what comes, so that others have their turn.
  size_t read_size_ = kReadSize;
  // Both directions of the connection have ended.
  bool peer_closed_ = false;
  // Something came while Node was not reading.
  bool paused_ = false;
  uint64_t paused_at_ = 0;
  // Turns of the event loop since then.
  int turns_paused_ = 0;
  uint64_t taken_when_paused_ = 0;
  bool stalled_ = false;
  bool hung_up_ = false;
  // With kDiscard: Node has written something.
  bool discarded_ = false;
  bool read_to_end_ = false;
  // Node is being given bytes.
  bool feeding_ = false;
  // JavaScript wants to know when Node has got them.
  bool tells_answered_ = false;
  bool due_ = false;
  // JavaScript wants the process to stay.
  bool ref_ = false;
  bool keeps_process_ = false;
  double bytes_read_ = 0;
  double bytes_written_ = 0;
  // Strong while the bridge is open.
  napi_ref self_ = nullptr;
  napi_ref on_event_ = nullptr;
  napi_ref arrived_ = nullptr;
  napi_async_context async_context_ = nullptr;
};

}  // namespace grpcfd

#endif  // GRPCFD_BRIDGE_H_
