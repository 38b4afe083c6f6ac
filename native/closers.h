#ifndef GRPCFD_CLOSERS_H_
#define GRPCFD_CLOSERS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace grpcfd {

// Threads that close what may take any time. Each close is on an account: that of the connection on which the descriptor came. An account
// keeps four threads busy at most, and what comes after that waits for one of them. So closes that hang hold up those of their own account
// alone. Account 0 is for what is on nobody's account. It has as many threads as there are.
//
// There are 64 threads at most, but an account that has none gets one, up to 512. Nobody waits for them: the end of the process ends them,
// and they go on after the end of their environment, until all is closed.
class Closers {
 public:
  // Is called by a thread, or at once, when a close with a ticket is done.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void OnClosed(uint64_t ticket) = 0;
  };

  // Anything else that may take any time.
  class Work {
   public:
    virtual ~Work() = default;
    virtual void Run() = 0;
  };

  explicit Closers(std::shared_ptr<Listener> listener);
  Closers(const Closers&) = delete;
  Closers& operator=(const Closers&) = delete;
  ~Closers();

  // Takes over `fd`. Does nothing if it waits already. With a ticket other than 0, the listener is told.
  void Close(int fd, uint32_t account, uint64_t ticket = 0);

  // Runs it in a thread, on account 0.
  void Run(std::unique_ptr<Work> work);

  // How many descriptors of the account wait.
  size_t Waiting(uint32_t account) const;
  // The same, if none of the account has been closed for a second, and 0 otherwise.
  size_t Stuck(uint32_t account) const;
  // How many descriptors wait, on all accounts.
  size_t Queued() const;
  // How many closes have not ended, on all accounts.
  size_t Pending() const;

 private:
  struct State;
  struct Account;

  struct Item;

  void Add(Item item, uint32_t account);
  static void* RunThread(void* data);
  static void Recruit(const std::shared_ptr<State>& shared, uint32_t id, const Account& account);
  static void CloseNext(State* state, std::unique_lock<std::mutex>* lock, const std::shared_ptr<State>* shared = nullptr);

  std::shared_ptr<State> state_;
};

}  // namespace grpcfd

#endif  // GRPCFD_CLOSERS_H_
