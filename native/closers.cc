#include "closers.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "detached-thread.h"
#include "fd-set.h"

namespace grpcfd {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kThreadsOfAccount = 4;
constexpr size_t kThreads = 64;
constexpr size_t kMostThreads = 512;
// Those on no account are held up by others of their kind, if none has ended for so long.
constexpr std::chrono::milliseconds kSlowAfter{50};
// Threads that stay for the next close. To make one takes longer than most closes.
constexpr size_t kIdleThreads = 2;
constexpr std::chrono::seconds kStuckAfter{1};

}  // namespace

struct Closers::Item {
  int fd = -1;
  uint64_t ticket = 0;
  std::unique_ptr<Work> work;
};

struct Closers::Account {
  std::deque<Item> waiting;
  size_t running = 0;
  // It stands in the queue of those that are due.
  bool is_due = false;
  // When it has begun to close, or when a close has ended.
  Clock::time_point progress;
};

// Shared by the environment and the threads, which outlive it.
struct Closers::State {
  explicit State(std::shared_ptr<Listener> told) : listener(std::move(told)) {}

  const std::shared_ptr<Listener> listener;
  mutable std::mutex mutex;
  std::condition_variable work;
  // Those that have something to close, or had a moment ago.
  std::unordered_map<uint32_t, Account> accounts;
  // Those that may have one more thread, in their turn.
  std::deque<uint32_t> due;
  // The numbers that wait. The kernel gives none of them to another file before it is closed.
  FdSet waiting;
  size_t pending = 0;
  // Those of them that have a number, which is free as soon as a thread begins.
  size_t queued = 0;
  size_t threads = 0;
  size_t idle = 0;
  // The environment is gone.
  bool is_left = false;

  bool MakeDue(uint32_t id, Account* account) {
    const size_t most = id == 0 ? kMostThreads : kThreadsOfAccount;
    if (account->is_due || account->waiting.empty() || account->running >= most) return false;
    account->is_due = true;
    due.push_back(id);
    return true;
  }

  // The next account for a thread, or `due.end()`. Those that have no thread come first, and a thread above `kThreads` is for them alone, and
  // for what is on no account.
  std::deque<uint32_t>::iterator Next() {
    const auto comes_first = [this](uint32_t id) { return accounts[id].running == 0 || (id == 0 && threads > kThreads); };
    const auto first = std::find_if(due.begin(), due.end(), comes_first);
    return first == due.end() && threads <= kThreads ? due.begin() : first;
  }

  // Connections that are closed and sockets that are refused are on no account: none of these shall wait for those that hang.
  static bool IsHeldUp(uint32_t id, const Account& account) { return id == 0 && Clock::now() - account.progress >= kSlowAfter; }

  bool MayHaveThread(uint32_t id, const Account& account) const {
    return threads < (account.running == 0 || IsHeldUp(id, account) ? kMostThreads : kThreads);
  }
};

Closers::Closers(std::shared_ptr<Listener> listener) : state_(std::make_shared<State>(std::move(listener))) {}

Closers::~Closers() {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->is_left = true;
  state_->work.notify_all();
}

void Closers::Close(int fd, uint32_t account, uint64_t ticket) {
  Item item;
  item.fd = fd;
  item.ticket = ticket;
  Add(std::move(item), account);
}

void Closers::Run(std::unique_ptr<Work> work) {
  Item item;
  item.work = std::move(work);
  Add(std::move(item), 0);
}

void Closers::Add(Item item, uint32_t account_id) {
  State& state = *state_;
  std::unique_lock<std::mutex> lock(state.mutex);
  if (state.waiting.Has(item.fd)) return;
  Account& account = state.accounts[account_id];
  if (account.waiting.empty() && account.running == 0) account.progress = Clock::now();
  const bool item_has_number = item.fd >= 0;
  state.waiting.Add(item.fd);
  account.waiting.push_back(std::move(item));
  state.pending++;
  if (item_has_number) state.queued++;
  if (state.MakeDue(account_id, &account) || State::IsHeldUp(account_id, account)) Recruit(state_, account_id, account);
  // Not even one thread can be made. Then the event loop waits, which is better than a descriptor that is never closed.
  while (state.threads == 0 && !state.due.empty()) CloseNext(&state, &lock);
}

// With the lock: has a thread come for an account that has just become due.
void Closers::Recruit(const std::shared_ptr<State>& shared, uint32_t id, const Account& account) {
  State& state = *shared;
  if (state.idle >= state.due.size()) {
    state.work.notify_one();
  } else if (state.MayHaveThread(id, account)) {
    auto* data = new std::shared_ptr<State>(shared);
    state.threads++;
    if (StartDetachedThread(RunThread, data) == 0) return;
    state.threads--;
    delete data;
  }
}

size_t Closers::Waiting(uint32_t account) const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  const auto found = state_->accounts.find(account);
  return found == state_->accounts.end() ? 0 : found->second.waiting.size();
}

size_t Closers::Stuck(uint32_t account) const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  const auto found = state_->accounts.find(account);
  if (found == state_->accounts.end() || Clock::now() - found->second.progress < kStuckAfter) return 0;
  return found->second.waiting.size();
}

size_t Closers::Queued() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->queued;
}

size_t Closers::Pending() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->pending;
}

void* Closers::RunThread(void* data) {
  const std::unique_ptr<std::shared_ptr<State>> owner(static_cast<std::shared_ptr<State>*>(data));
  const std::shared_ptr<State>& state = *owner;
  std::unique_lock<std::mutex> lock(state->mutex);
  for (;;) {
    if (state->Next() != state->due.end()) {
      CloseNext(state.get(), &lock, &state);
      continue;
    }
    if (state->is_left || state->idle >= kIdleThreads || state->threads > kThreads) break;
    state->idle++;
    state->work.wait(lock);
    state->idle--;
  }
  state->threads--;
  return nullptr;
}

// With the lock, which is free while a descriptor is closed. There must be a next one.
void Closers::CloseNext(State* state, std::unique_lock<std::mutex>* lock, const std::shared_ptr<State>* shared) {
  const auto next = state->Next();
  const uint32_t id = *next;
  state->due.erase(next);
  Account& account = state->accounts[id];
  Item item = std::move(account.waiting.front());
  account.waiting.pop_front();
  account.is_due = false;
  account.running++;
  if (state->MakeDue(id, &account) && shared != nullptr) Recruit(*shared, id, account);
  state->waiting.Remove(item.fd);
  if (item.fd >= 0) state->queued--;
  lock->unlock();
  // Never retried on EINTR: Linux has freed the number by then.
  if (item.fd >= 0) close(item.fd);
  if (item.work != nullptr) item.work->Run();
  item.work.reset();
  if (item.ticket != 0) state->listener->OnClosed(item.ticket);
  lock->lock();
  state->pending--;
  account.running--;
  account.progress = Clock::now();
  state->MakeDue(id, &account);
  if (account.running == 0 && account.waiting.empty()) state->accounts.erase(id);
}

}  // namespace grpcfd
