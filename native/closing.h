#ifndef GRPCFD_CLOSING_H_
#define GRPCFD_CLOSING_H_

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "close-policy.h"
#include "closers.h"
#include "own-fd.h"

namespace grpcfd {

class Environment;

// Closes what a peer sent, and all else whose close may wait, for one environment. The thread of the event loop never waits for it.
class Closing {
 public:
  explicit Closing(Environment& environment);
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;
  ~Closing();

  // Takes over `count` descriptors, guarded or not. False if the last one was not open.
  bool CloseAll(const int* fds, size_t count);

  // Takes over a unix stream socket, with what its peer has sent and nobody has received. True if it is not closed yet. Then `on_closed` is
  // called when it is, unless it is nullptr.
  bool CloseSocket(napi_env env, OwnFd socket, napi_value on_closed = nullptr);
  // The same for a connection that nobody else uses.
  void CloseConnection(OwnFd socket);

  // Takes over `fd` if it closes at once, and closes it. Otherwise returns false, and does nothing.
  bool CloseAtOnce(int fd);

  // Takes over `fd`, and calls `on_closed` from the event loop when a thread has closed it.
  void CloseAndTell(napi_env env, int fd, napi_value on_closed);

  // Whether the closes that somebody is to be told of keep the process alive.
  void KeepAlive(bool wanted);

  bool WouldCloseAtOnce(int fd);

  // Opens the descriptor that it needs to tell what closes at once, while the environment has anything open.
  void OpenMounts() { policy_.Prepare(); }
  // Keeps no descriptor of its own while the environment has nothing open.
  void ForgetMounts() { policy_.Forget(); }

  const std::shared_ptr<Closers>& closers() const { return closers_; }

 private:
  class Notices;
  struct Mailbox;

  void CloseLater(napi_env env, int fd, uint32_t account, napi_value on_closed);
  void LetGo();

  Environment& environment_;
  ClosePolicy policy_;
  std::vector<int> at_once_;
  std::shared_ptr<Mailbox> mailbox_;
  const std::shared_ptr<Closers> closers_;
  // nullptr while nobody is to be told.
  Notices* notices_ = nullptr;
};

}  // namespace grpcfd

#endif  // GRPCFD_CLOSING_H_
