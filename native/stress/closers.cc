// Uses what runs in threads of the addon, without Node.js, under ThreadSanitizer: npm run stress. Threads close and ask at the same time, an
// environment ends while its closes go on, and at the end every descriptor has been closed once and every ticket told once.
#include "closers.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "detached-thread.h"
#include "specimens.h"

namespace {

constexpr int kRounds = 30;
constexpr int kFds = 200;
constexpr int kAccounts = 5;

void Check(bool holds, const char* what) {
  if (holds) return;
  static_cast<void>(std::fprintf(stderr, "%s\n", what));
  std::abort();
}

class Tickets final : public grpcfd::Closers::Listener {
 public:
  void OnClosed(uint64_t ticket) override {
    told.fetch_add(1);
    sum.fetch_add(ticket);
  }
  std::atomic<uint64_t> told{0};
  std::atomic<uint64_t> sum{0};
};

class Job final : public grpcfd::Closers::Work {
 public:
  explicit Job(std::shared_ptr<std::atomic<int>> runs) : runs_(std::move(runs)) {}
  void Run() override { runs_->fetch_add(1); }

 private:
  std::shared_ptr<std::atomic<int>> runs_;
};

// The other ends of what is closed: they see an end of file when it is.
std::vector<int> CloseMany(grpcfd::Closers* closers) {
  std::vector<int> others;
  for (int i = 0; i < kFds; i++) {
    int ends[2] = {-1, -1};
    Check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    others.push_back(ends[0]);
    closers->Close(ends[1], static_cast<uint32_t>(i % kAccounts), static_cast<uint64_t>(i) + 1);
  }
  return others;
}

void Round(bool leaves_early) {
  auto tickets = std::make_shared<Tickets>();
  auto runs = std::make_shared<std::atomic<int>>(0);
  auto closers = std::make_unique<grpcfd::Closers>(tickets);
  std::atomic<bool> is_over{false};
  // In the addon, one thread asks and closes. The looks of another one find what is not behind the lock.
  std::thread asker([&] {
    while (!is_over.load()) {
      for (uint32_t account = 0; account < kAccounts; account++) {
        Check(closers->Stuck(account) <= kFds && closers->Waiting(account) <= kFds, "more wait than there are");
      }
      Check(closers->Pending() <= kFds + 10, "more are pending than there are");
    }
  });
  const std::vector<int> others = CloseMany(closers.get());
  for (int i = 0; i < 10; i++) closers->Run(std::make_unique<Job>(runs));
  if (leaves_early) {
    is_over.store(true);
    asker.join();
    closers.reset();
  }
  for (const int other : others) {
    char byte = 0;
    Check(read(other, &byte, 1) == 0, "no end of file");
    close(other);
  }
  while (tickets->told.load() < kFds || runs->load() < 10) std::this_thread::yield();
  if (!leaves_early) {
    while (closers->Pending() > 0) std::this_thread::yield();
    is_over.store(true);
    asker.join();
  }
  Check(tickets->told.load() == kFds && tickets->sum.load() == uint64_t{kFds} * (kFds + 1) / 2, "a ticket is not told once");
}

// What all threads of the process share is made by the first that needs it.
void ShareSpecimens() {
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; i++) {
    threads.emplace_back([] {
      const grpcfd::Devices* devices = nullptr;
      Check(grpcfd::FindDevices(&devices) == 0, "no devices");
      Check(grpcfd::IsTerminal(4) && !grpcfd::IsTerminal(1), "wrong terminals");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void StartThreads() {
  static std::atomic<int> ran{0};
  const auto run = [](void*) -> void* {
    ran.fetch_add(1);
    return nullptr;
  };
  for (int i = 0; i < 50; i++) Check(grpcfd::StartDetachedThread(run, nullptr) == 0, "no thread");
  while (ran.load() < 50) std::this_thread::yield();
}

}  // namespace

int main() {
  ShareSpecimens();
  StartThreads();
  for (int round = 0; round < kRounds; round++) Round(round % 2 == 1);
  std::puts("every descriptor was closed once, and every ticket told once");
  return 0;
}
