#include "closing.h"

#include <cerrno>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "fd-run.h"
#include "functions.h"
#include "libuv.h"
#include "loop-handle.h"
#include "socket-calls.h"
#include "system-error.h"

namespace grpcfd {

// Where the threads leave the tickets of what they have closed.
struct Closing::Mailbox final : Closers::Listener {
  std::mutex mutex;
  // nullptr while nobody waits.
  uv_async_t* async = nullptr;
  std::vector<uint64_t> done;

  void OnClosed(uint64_t ticket) override {
    const std::lock_guard<std::mutex> lock(mutex);
    if (async == nullptr) return;
    done.push_back(ticket);
    uv_async_send(async);
  }
};

// Part of the event loop while somebody waits for a close.
class Closing::Notices final : public LoopHandle {
 public:
  Notices(const Notices&) = delete;
  Notices& operator=(const Notices&) = delete;
  Notices(napi_env env, Closing& closing)
      : env_(env),
        closing_(closing),
        environment_(closing.environment_),
        async_(static_cast<uv_async_t*>(::operator new(uv_handle_size(UV_ASYNC)))) {
    uv_async_init(environment_.loop(), async_, [](uv_async_t* async) {
      static_cast<Notices*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(async)))->Deliver();
    });
    uv_handle_set_data(handle(), this);
    napi_value name = nullptr;
    napi_value resource = nullptr;
    napi_create_object(env, &resource);
    napi_create_string_utf8(env, "GRPCFD_CLOSE", NAPI_AUTO_LENGTH, &name);
    napi_async_init(env, resource, name, &async_context_);
    const std::lock_guard<std::mutex> lock(closing.mailbox_->mutex);
    closing.mailbox_->async = async_;
    environment_.Add(this);
  }

  uint64_t Expect(napi_value on_closed) {
    napi_ref callback = nullptr;
    napi_create_reference(env_, on_closed, 1, &callback);
    callbacks_[++last_ticket_] = callback;
    return last_ticket_;
  }

  void KeepAlive(bool wanted) {
    if (wanted) uv_ref(handle());
    else uv_unref(handle());
  }

  void Close() override {
    if (uv_is_closing(handle()) != 0) return;
    {
      const std::lock_guard<std::mutex> lock(closing_.mailbox_->mutex);
      closing_.mailbox_->async = nullptr;
      closing_.mailbox_->done.clear();
    }
    closing_.notices_ = nullptr;
    uv_close(handle(), [](uv_handle_t* closed) {
      auto* self = static_cast<Notices*>(uv_handle_get_data(closed));
      if (self->async_context_ != nullptr) napi_async_destroy(self->env_, self->async_context_);
      self->environment_.Remove(self);
      delete self;
    });
  }

 private:
  ~Notices() { ::operator delete(async_); }

  void Deliver() {
    std::vector<uint64_t> done;
    {
      const std::lock_guard<std::mutex> lock(closing_.mailbox_->mutex);
      done.swap(closing_.mailbox_->done);
    }
    for (const uint64_t ticket : done) {
      napi_handle_scope scope = nullptr;
      if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
      const auto found = callbacks_.find(ticket);
      napi_ref reference = found->second;
      callbacks_.erase(found);
      napi_value callback = nullptr;
      napi_value global = nullptr;
      napi_get_reference_value(env_, reference, &callback);
      napi_delete_reference(env_, reference);
      napi_get_global(env_, &global);
      ReportException(env_, napi_make_callback(env_, async_context_, global, callback, 0, nullptr, nullptr));
      napi_close_handle_scope(env_, scope);
    }
    if (callbacks_.empty()) Close();
  }

  uv_handle_t* handle() const { return reinterpret_cast<uv_handle_t*>(async_); }

  napi_env env_;
  Closing& closing_;
  Environment& environment_;
  uv_async_t* async_;
  napi_async_context async_context_ = nullptr;
  uint64_t last_ticket_ = 0;
  std::unordered_map<uint64_t, napi_ref> callbacks_;
};

Closing::Closing(Environment& environment)
    : environment_(environment), mailbox_(std::make_shared<Mailbox>()), closers_(std::make_shared<Closers>(mailbox_)) {}

Closing::~Closing() = default;

bool Closing::CloseAll(const int* fds, size_t count) {
  policy_.Begin();
  bool was_open = true;
  at_once_.clear();
  for (size_t i = 0; i < count; i++) {
    const int fd = fds[i];
    const uint32_t account = environment_.AccountOf(fd);
    environment_.Unguard(fd);
    const ClosePolicy::Verdict verdict = policy_.Judge(fd, account == 0);
    was_open = verdict != ClosePolicy::kNotOpen;
    if (verdict == ClosePolicy::kAtOnce) at_once_.push_back(fd);
    if (verdict == ClosePolicy::kPerhapsLater) closers_->Close(fd, account);
  }
  {
    // Not before: a look may open a file, and a number that stands twice in the list would be that of this file.
    FdRun run;
    for (int fd : at_once_) run.Add(fd);
  }
  LetGo();
  return was_open;
}

bool Closing::CloseSocket(napi_env env, OwnFd socket, napi_value on_closed) {
  if (IsDrained(socket.Get())) return false;
  CloseLater(env, socket.Release(), 0, on_closed);
  return true;
}

void Closing::CloseConnection(OwnFd socket) {
  if (EndDrained(socket.Get())) socket.Reset();
  else closers_->Close(socket.Release(), 0);
}

bool Closing::CloseAtOnce(int fd) {
  policy_.Begin();
  const ClosePolicy::Verdict verdict = policy_.Judge(fd, environment_.AccountOf(fd) == 0);
  if (verdict != ClosePolicy::kPerhapsLater) environment_.Unguard(fd);
  if (verdict == ClosePolicy::kAtOnce) OwnFd(fd).Reset();
  LetGo();
  return verdict != ClosePolicy::kPerhapsLater;
}

void Closing::CloseAndTell(napi_env env, int fd, napi_value on_closed) {
  const uint32_t account = environment_.AccountOf(fd);
  environment_.Unguard(fd);
  CloseLater(env, fd, account, on_closed);
}

void Closing::CloseLater(napi_env env, int fd, uint32_t account, napi_value on_closed) {
  if (on_closed != nullptr && notices_ == nullptr) notices_ = new Notices(env, *this);
  closers_->Close(fd, account, on_closed == nullptr ? 0 : notices_->Expect(on_closed));
}

bool Closing::WouldCloseAtOnce(int fd) {
  policy_.Begin();
  const bool result = policy_.Judge(fd, environment_.AccountOf(fd) == 0) == ClosePolicy::kAtOnce;
  LetGo();
  return result;
}

void Closing::KeepAlive(bool wanted) {
  if (notices_ != nullptr) notices_->KeepAlive(wanted);
}

void Closing::LetGo() {
  if (!environment_.HasHandles()) policy_.Forget();
}

namespace {

bool ReadAccount(const Arguments& arguments, size_t index, uint32_t* account) {
  size_t number = 0;
  if (!arguments.Size(index, &number)) return false;
  *account = static_cast<uint32_t>(number);
  return true;
}

napi_value Close(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  return Environment::Of(env).closing().CloseAll(&fd, 1) ? nullptr : ThrowSystemError(env, EBADF, "close");
}

napi_value CloseAll(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  FdList fds;
  if (arguments.CountedFds(0, &fds)) Environment::Of(env).closing().CloseAll(fds.data, fds.size);
  return nullptr;
}

napi_value CloseAtOnce(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  napi_value result = nullptr;
  napi_get_boolean(env, Environment::Of(env).closing().CloseAtOnce(fd), &result);
  return result;
}

napi_value CloseAndTell(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (arguments.Int(0, &fd)) Environment::Of(env).closing().CloseAndTell(env, fd, arguments[1]);
  return nullptr;
}

napi_value KeepAliveForClosers(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  bool wanted = false;
  if (arguments.Bool(0, &wanted)) Environment::Of(env).closing().KeepAlive(wanted);
  return nullptr;
}

napi_value WaitingCloses(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  uint32_t account = 0;
  if (!ReadAccount(arguments, 0, &account)) return nullptr;
  return MakeInt(env, static_cast<int64_t>(Environment::Of(env).closing().closers()->Waiting(account)));
}

napi_value StuckCloses(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  uint32_t account = 0;
  if (!ReadAccount(arguments, 0, &account)) return nullptr;
  return MakeInt(env, static_cast<int64_t>(Environment::Of(env).closing().closers()->Stuck(account)));
}

napi_value QueuedCloses(napi_env env, napi_callback_info) {
  return MakeInt(env, static_cast<int64_t>(Environment::Of(env).closing().closers()->Queued()));
}

napi_value PendingCloses(napi_env env, napi_callback_info) {
  return MakeInt(env, static_cast<int64_t>(Environment::Of(env).closing().closers()->Pending()));
}

// closesAtOnce(fd): whether the event loop may close it.
napi_value ClosesAtOnce(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  if (!arguments.Int(0, &fd)) return nullptr;
  napi_value result = nullptr;
  napi_get_boolean(env, Environment::Of(env).closing().WouldCloseAtOnce(fd), &result);
  return result;
}

}  // namespace

bool DefineClosingFunctions(napi_env env, napi_value exports) {
  return Define(env, exports,
                {{"close", Close},
                 {"closeAll", CloseAll},
                 {"closeAtOnce", CloseAtOnce},
                 {"closeAndTell", CloseAndTell},
                 {"keepAliveForClosers", KeepAliveForClosers},
                 {"waitingCloses", WaitingCloses},
                 {"stuckCloses", StuckCloses},
                 {"queuedCloses", QueuedCloses},
                 {"pendingCloses", PendingCloses}});
}

bool DefineTestingClosingFunctions(napi_env env, napi_value testing) {
  return Define(env, testing, {{"closesAtOnce", ClosesAtOnce}});
}

}  // namespace grpcfd
