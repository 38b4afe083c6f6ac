#include "environment.h"

#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "bridge.h"
#include "closing.h"
#include "ready-set.h"
#include "specimens.h"

namespace grpcfd {
namespace {

// More than the kernel lets a socket buffer by default (net.core.wmem_default: 208 KiB).
constexpr size_t kScratchSize = size_t{256} * 1024;

// How often bridges that are paused are looked at.
constexpr uint64_t kStallCheckMs = 100;

// How many far ends are told of at a time.
constexpr int kEventsPerWait = 64;

// The first environment of this thread. exit() calls OnExit on its own thread, which must not touch the environments of another.
thread_local Environment* first_of_thread = nullptr;

}  // namespace

int FarEnds::Open() {
  epoll_ = OwnFd(epoll_create1(EPOLL_CLOEXEC));
  return epoll_.IsOpen() ? 0 : errno;
}

int FarEnds::Add(int fd, Bridge* bridge) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = bridge;
  if (epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, fd, &event) != 0) return errno;
  count_++;
  return 0;
}

int FarEnds::Watch(int fd, Bridge* bridge, bool wanted) {
  epoll_event event = {};
  // EPOLLHUP is told whatever is asked for, but not more than once with EPOLLET.
  event.events = wanted ? EPOLLIN : EPOLLET;
  event.data.ptr = bridge;
  return epoll_ctl(epoll_.Get(), EPOLL_CTL_MOD, fd, &event) == 0 ? 0 : errno;
}

void FarEnds::Remove(int fd) {
  // A child process that is being made may have the descriptor, too, and closing it here would leave it in the set.
  epoll_ctl(epoll_.Get(), EPOLL_CTL_DEL, fd, nullptr);
  removals_++;
  count_--;
}

void FarEnds::Forward() {
  if (count_ == 0) return;
  epoll_event events[kEventsPerWait];
  const int ready = epoll_wait(epoll_.Get(), events, kEventsPerWait, 0);
  const uint64_t removals = removals_;
  for (int i = 0; i < ready; i++) {
    // The rest is told again at once, by the event loop.
    if (removals_ != removals) return;
    static_cast<Bridge*>(events[i].data.ptr)->OnWritten();
  }
}

Environment::Environment() : next_of_thread_(first_of_thread), closing_(std::make_unique<Closing>(*this)) {
  static std::once_flag once;
  // Where it cannot be registered, the process has no memory, and little to tell its peers.
  std::call_once(once, [] { static_cast<void>(std::atexit(OnExit)); });
  first_of_thread = this;
}

Environment::~Environment() {
  Environment** link = &first_of_thread;
  while (*link != nullptr && *link != this) link = &(*link)->next_of_thread_;
  if (*link == this) *link = next_of_thread_;
}

// process.exit() tears down no environment, and the listeners of the event 'exit' may write behind that of this package.
void Environment::OnExit() {
  for (Environment* environment = first_of_thread; environment != nullptr; environment = environment->next_of_thread_) {
    environment->tearing_down_ = true;
    for (LoopHandle* handle : environment->handles_) handle->BeforeExit();
  }
}

bool Environment::Install(napi_env env) {
  std::unique_ptr<Environment> environment(new Environment);
  if (napi_get_uv_event_loop(env, &environment->loop_) != napi_ok) return false;
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); };
  if (napi_set_instance_data(env, environment.get(), finalize, nullptr) != napi_ok) return false;
  Environment* installed = environment.release();
  // While the table of descriptors has room: what is closed to make room is to be told without any.
  const Devices* devices = nullptr;
  static_cast<void>(FindDevices(&devices));
  // Asynchronous, because the loop must turn once more for libuv to let go of the closed handles.
  return napi_add_async_cleanup_hook(env, OnTeardown, installed, &installed->hook_) == napi_ok;
}

Environment& Environment::Of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

Scratch Environment::scratch() {
  if (scratch_ == nullptr) scratch_.reset(new uint8_t[kScratchSize]);
  return {scratch_.get(), kScratchSize};
}

napi_value Environment::Give(napi_env env, OwnFd descriptor) {
  napi_value number = nullptr;
  if (napi_create_int32(env, descriptor.Get(), &number) != napi_ok) return nullptr;
  SetAccount(descriptor.Get(), 0);
  Guard(descriptor.Release());
  return number;
}

bool Environment::IsInUse(int fd) const {
  struct Search {
    int fd;
    bool found;
  } search = {fd, false};
  const auto visit = [](uv_handle_t* handle, void* data) {
    auto* wanted = static_cast<Search*>(data);
    uv_os_fd_t number = -1;
    if (uv_fileno(handle, &number) == 0 && number == wanted->fd) wanted->found = true;
  };
  uv_walk(loop_, visit, &search);
  return search.found || std::any_of(handles_.begin(), handles_.end(), [fd](const auto* each) { return each->Uses(fd); });
}

void Environment::Add(LoopHandle* handle) {
  if (handles_.empty()) closing_->OpenMounts();
  handles_.insert(handle);
}

void Environment::Remove(LoopHandle* handle) {
  handles_.erase(handle);
  if (handles_.empty()) closing_->ForgetMounts();
  if (tearing_down_ && handles_.empty()) FinishTeardown();
}

int Environment::AddFarEnd(int fd, Bridge* bridge) {
  if (far_ends_watch_ == nullptr) {
    if (const int error = far_ends_.Open(); error != 0) return error;
    far_ends_watch_ = new FarEndsWatch(*this);
    if (before_wait_ == nullptr) before_wait_ = new BeforeWait(*this);
  }
  const int error = far_ends_.Add(fd, bridge);
  if (error != 0) CloseIfUnused();
  return error;
}

void Environment::RemoveFarEnd(int fd) {
  far_ends_.Remove(fd);
  CloseIfUnused();
}

// A program that has no connection any more keeps no descriptor.
void Environment::CloseIfUnused() {
  if (far_ends_.size() > 0 || far_ends_watch_ == nullptr) return;
  std::exchange(far_ends_watch_, nullptr)->Close();
}

void Environment::AddDue(Bridge* bridge) { due_.push_back(bridge); }

void Environment::RemoveDue(Bridge* bridge) {
  std::replace(due_.begin(), due_.end(), bridge, static_cast<Bridge*>(nullptr));
  std::replace(running_.begin(), running_.end(), bridge, static_cast<Bridge*>(nullptr));
}

void Environment::WatchForStalls() { before_wait_->StartTimer(); }

void Environment::LookAfterWait() { before_wait_->StartCheck(); }

void Environment::RunAfterWait() {
  // A copy: whoever is told may close any of them.
  running_ = due_;
  for (size_t i = 0; i < running_.size(); i++) {
    if (running_[i] != nullptr) running_[i]->AfterWait();
  }
  running_.clear();
}

void Environment::FindStalled() {
  bool again = false;
  // A copy: whoever is told may close any of them.
  running_ = due_;
  for (size_t i = 0; i < running_.size(); i++) {
    if (running_[i] != nullptr && running_[i]->CheckStalled()) again = true;
  }
  running_.clear();
  if (again) WatchForStalls();
}

void Environment::ForwardWritten() {
  // Nothing is written to the pairs of those in their direct mode.
  if (far_ends_.size() > direct_.size()) far_ends_.Forward();
}

// Asks each bridge in its direct mode that epoll is going to be told of.
void Environment::TellOfChanges() {
  if (direct_.empty()) return;
  const uv_queue_t& queue = loop_->watcher_queue;
  for (const uv_queue_t* entry = queue.next; entry != &queue; entry = entry->next) {
    const auto* watcher = reinterpret_cast<const uv_io_t*>(reinterpret_cast<const char*>(entry) - offsetof(uv_io_t, watcher_queue));
    const auto found = direct_.find(watcher->fd);
    if (found != direct_.end()) found->second->BeforeChange();
  }
}

void Environment::RunDue() {
  running_.swap(due_);
  for (size_t i = 0; i < running_.size(); i++) {
    if (running_[i] != nullptr) running_[i]->BeforeWait();
  }
  running_.clear();
}

ReadySet* Environment::OpenReadySet(napi_env env, napi_value on_ready) {
  ready_set_ = ReadySet::Open(env, *this, on_ready);
  return ready_set_;
}

void Environment::Forget(ReadySet* set) {
  if (ready_set_ == set) ready_set_ = nullptr;
}

void Environment::Lend(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return;
  lent_[fd] = status.st_ino;
  guarded_.Remove(fd);
}

void Environment::CloseGuarded() {
  std::vector<int> guarded = guarded_.TakeAll();
  for (const auto& [fd, inode] : lent_) {
    struct stat status;
    // The inode of a socket is that of no other one, as long as it is open.
    if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_ino == inode) guarded.push_back(fd);
  }
  lent_.clear();
  closing_->CloseAll(guarded.data(), guarded.size());
}

void Environment::OnTeardown(napi_async_cleanup_hook_handle, void* data) {
  auto* environment = static_cast<Environment*>(data);
  environment->tearing_down_ = true;
  environment->CloseGuarded();
  if (environment->before_wait_ != nullptr) environment->handles_.insert(std::exchange(environment->before_wait_, nullptr));
  // Closing one may close another.
  const std::vector<LoopHandle*> handles(environment->handles_.begin(), environment->handles_.end());
  for (LoopHandle* handle : handles) handle->Close();
  if (environment->handles_.empty()) environment->FinishTeardown();
}

void Environment::FinishTeardown() { napi_remove_async_cleanup_hook(hook_); }

Environment::BeforeWait::BeforeWait(Environment& environment)
    : environment_(environment),
      first_(static_cast<uv_prepare_t*>(::operator new(uv_handle_size(UV_PREPARE)))),
      last_(static_cast<uv_prepare_t*>(::operator new(uv_handle_size(UV_PREPARE)))),
      check_(static_cast<uv_check_t*>(::operator new(uv_handle_size(UV_CHECK)))),
      timer_(static_cast<uv_timer_t*>(::operator new(uv_handle_size(UV_TIMER)))) {
  uv_prepare_init(environment.loop(), first_);
  uv_prepare_init(environment.loop(), last_);
  uv_check_init(environment.loop(), check_);
  uv_timer_init(environment.loop(), timer_);
  for (uv_handle_t* handle : {reinterpret_cast<uv_handle_t*>(first_), reinterpret_cast<uv_handle_t*>(last_),
                              reinterpret_cast<uv_handle_t*>(check_), reinterpret_cast<uv_handle_t*>(timer_)}) {
    uv_handle_set_data(handle, this);
    uv_unref(handle);
  }
  // A connection that is to be ended may be all that the process still has.
  uv_ref(reinterpret_cast<uv_handle_t*>(timer_));
  uv_prepare_start(last_, OnLast);
  uv_prepare_start(first_, OnFirst);
}

Environment::BeforeWait::~BeforeWait() {
  ::operator delete(first_);
  ::operator delete(last_);
  ::operator delete(check_);
  ::operator delete(timer_);
}

void Environment::BeforeWait::OnFirst(uv_prepare_t* handle) {
  auto* self = static_cast<BeforeWait*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(handle)));
  uv_prepare_stop(handle);
  uv_prepare_start(handle, OnFirst);
  if (!self->is_last()) self->turns_++;
  self->environment_.ForwardWritten();
  if (!self->environment_.due_.empty()) self->environment_.RunDue();
  // JavaScript may run the event loop itself, in here: the last callback is not called there.
  self->environment_.TellOfChanges();
}

void Environment::BeforeWait::OnLast(uv_prepare_t* handle) {
  auto* self = static_cast<BeforeWait*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(handle)));
  self->environment_.TellOfChanges();
  self->looked_in_ = self->CountOfWaits();
}

void Environment::BeforeWait::StartTimer() {
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(timer_)) != 0) return;
  const auto fire = [](uv_timer_t* handle) {
    auto* self = static_cast<BeforeWait*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(handle)));
    self->environment_.FindStalled();
  };
  uv_timer_start(timer_, fire, kStallCheckMs, 0);
}

void Environment::BeforeWait::StartCheck() {
  uv_check_start(check_, [](uv_check_t* handle) {
    auto* self = static_cast<BeforeWait*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(handle)));
    uv_check_stop(handle);
    self->environment_.RunAfterWait();
  });
}

void Environment::BeforeWait::Close() {
  uv_close(reinterpret_cast<uv_handle_t*>(first_), OnClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(last_), OnClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(check_), OnClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(timer_), OnClosed);
}

void Environment::BeforeWait::OnClosed(uv_handle_t* handle) {
  auto* self = static_cast<BeforeWait*>(uv_handle_get_data(handle));
  if (--self->open_handles_ > 0) return;
  self->environment_.Remove(self);
  delete self;
}

Environment::FarEndsWatch::FarEndsWatch(Environment& environment)
    : environment_(environment), poll_(static_cast<uv_poll_t*>(::operator new(uv_handle_size(UV_POLL)))) {
  uv_poll_init(environment.loop(), poll_, environment.far_ends_.descriptor());
  auto* handle = reinterpret_cast<uv_handle_t*>(poll_);
  uv_handle_set_data(handle, this);
  uv_unref(handle);
  uv_poll_start(poll_, UV_READABLE, [](uv_poll_t* poll, int, int) {
    auto* self = static_cast<FarEndsWatch*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(poll)));
    self->environment_.far_ends_.Forward();
  });
  environment.Add(this);
}

void Environment::FarEndsWatch::Close() {
  auto* handle = reinterpret_cast<uv_handle_t*>(poll_);
  if (uv_is_closing(handle) != 0) return;
  const auto closed = [](uv_handle_t* closing) {
    auto* self = static_cast<FarEndsWatch*>(uv_handle_get_data(closing));
    self->environment_.Remove(self);
    delete self;
  };
  uv_close(handle, closed);
  environment_.far_ends_.Close();
}

}  // namespace grpcfd
