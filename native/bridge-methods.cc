// The methods of the class `Bridge` of JavaScript, one for each of src/native/types.ts.
#include "bridge.h"

#include <cerrno>
#include <climits>
#include <linux/sockios.h>
#include <poll.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "socket-calls.h"
#include "system-error.h"

namespace grpcfd {
namespace {

// As much as JavaScript takes at a time, so that it gets all of it at once.
constexpr size_t kMaxInsertSize = size_t{64} * 1024;

}  // namespace

napi_value Bridge::DefineClass(napi_env env) {
  return grpcfd::DefineClass(env, "Bridge", Construct,
                             {{"setOutgoing", SetOutgoing},
                              {"setBlocked", SetBlocked},
                              {"isBlocked", IsBlocked},
                              {"setReading", SetReading},
                              {"forward", ForwardMethod},
                              {"take", Take},
                              {"send", Send},
                              {"probe", Probe},
                              {"insert", Insert},
                              {"endWriting", EndWriting},
                              {"readToEnd", ReadToEnd},
                              {"tellAnswered", TellAnswered},
                              {"detach", Detach},
                              {"peerInode", PeerInode},
                              {"unread", Unread},
                              {"account", Account},
                              {"ref", Ref},
                              {"bytesRead", BytesRead},
                              {"bytesForwarded", BytesForwarded},
                              {"bytesInPair", BytesInPair},
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
  if (bridge->outgoing_ != Outgoing::kNative) bridge->LeaveDirect();
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

napi_value Bridge::IsBlocked(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  napi_value result = nullptr;
  napi_get_boolean(env, bridge->blocked_, &result);
  return result;
}

// setReading(wanted): what comes stays with the kernel while it is not wanted.
napi_value Bridge::SetReading(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  bool wanted = false;
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr || !arguments.Bool(0, &wanted)) return nullptr;
  bridge->reading_wanted_ = wanted;
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
  const bool possible = bridge->CanFeed() && bridge->insert_.empty() && !bridge->writing_ended_ && bytes.size <= kMaxInsertSize && bridge->filler_ == 0 &&
                        uv_is_writable(bridge->stream_) != 0 &&
                        uv_stream_get_write_queue_size(bridge->stream_) == 0 &&
                        ioctl(bridge->far_.Get(), FIONREAD, &waiting) == 0;
  if (possible) {
    bridge->LeaveDirect();
    bridge->insert_.assign(bytes.data, bytes.data + bytes.size);
    bridge->insert_at_ = bridge->taken_ + static_cast<uint64_t>(waiting);
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
  bridge->LeaveDirect();
  bridge->read_to_end_ = !bridge->reading_ended_;
  bridge->MarkDue();
  return nullptr;
}

// tellAnswered(): whether Node is being given bytes. The event ANSWERED follows then.
napi_value Bridge::TellAnswered(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  bridge->tells_answered_ = bridge->feeding_;
  napi_value result = nullptr;
  napi_get_boolean(env, bridge->feeding_, &result);
  return result;
}

// detach(held): Node is about to close its handle; `held`: JavaScript has taken something and not sent it yet. Returns how things
// stand with what Node wrote: 0, all has been forwarded; 1, not all, and
// Node has shut its side down; 2, not all, and it has not.
napi_value Bridge::Detach(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  bool held = false;
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr || !arguments.Bool(0, &held)) return nullptr;
  bridge->LeaveDirect();
  // The close of Node's number is to end the pair.
  bridge->near_.Reset();
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

// account(): on which what comes is closed.
napi_value Bridge::Account(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  return bridge == nullptr ? nullptr : MakeInt(env, bridge->account_);
}

// Memory that what the peer has not read takes up in the kernel (SIOCOUTQ).
napi_value Bridge::Unread(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  int bytes = 0;
  // Where the kernel does not tell, nothing has been read as far as is known. It is asked again.
  if (ioctl(bridge->socket_.Get(), SIOCOUTQ, &bytes) != 0) return MakeInt(env, INT_MAX);
  return MakeInt(env, bytes + static_cast<int64_t>(bridge->insert_.size()));
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

// bytesInPair(): those that Node wrote to the pair, and those that wait in libuv.
napi_value Bridge::BytesInPair(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Bridge* bridge = Unwrap(env, arguments.self());
  if (bridge == nullptr) return nullptr;
  int waiting = 0;
  // It is for a counter. Where the kernel does not tell, what waits counts as sent.
  if (bridge->direct_ || ioctl(bridge->far_.Get(), FIONREAD, &waiting) != 0) waiting = 0;
  else waiting -= static_cast<int>(bridge->filler_);
  const size_t queued = bridge->CanFeed() ? uv_stream_get_write_queue_size(bridge->stream_) : 0;
  napi_value result = nullptr;
  napi_create_double(env, static_cast<double>(bridge->taken_ + static_cast<uint64_t>(waiting) + queued), &result);
  return result;
}

napi_value Bridge::BytesForwarded(napi_env env, napi_callback_info info) {
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
