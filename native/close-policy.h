#ifndef GRPCFD_CLOSE_POLICY_H_
#define GRPCFD_CLOSE_POLICY_H_

#include <cstdint>

#include "file-status.h"
#include "mounts.h"

namespace grpcfd {

// Tells which descriptors close at once. A close may wait for anybody: for the server of a file system, for the linger time of a socket, or
// until gigabytes are free. The sender decides what its descriptor is, and may change that up to the last moment: what lies unread in a unix
// socket goes with it. So only what is known to close at once is told here. All else closes in a thread.
class ClosePolicy {
 public:
  // Before a number of files that are closed together: together, they are looked at, and take their time.
  void Begin();

  enum Verdict { kNotOpen, kAtOnce, kPerhapsLater };
  // It waits for nobody itself. `is_own`: this process has made what it is a descriptor of, or has made a duplicate of it.
  Verdict Judge(int fd, bool is_own);

  // While the table of descriptors has room: what is closed to make room is judged without any.
  void Prepare() { mounts_.Open(); }
  // Keeps no descriptor for the next time.
  void Forget() { mounts_.Close(); }

 private:
  bool FileClosesAtOnce(int fd, const ClosingStatus& status);
  bool Afford(uint64_t bytes);
  FileSystem FileSystemOf(uint64_t device, uint64_t mount);

  Mounts mounts_;
  bool is_updated_ = false;
  // Memory that may still be freed on the thread of the event loop.
  uint64_t affordable_ = 0;
};

// Whether this unix stream socket closes at once: nothing that a peer sent lies unread in it, and nothing more can come. At one that listens,
// nobody waits to be accepted; somebody may connect before it is closed.
bool IsDrained(int socket);

// The same for a connected one that nobody else uses. If nothing lies in it, both directions are ended, so that nothing can come.
bool EndDrained(int socket);

}  // namespace grpcfd

#endif  // GRPCFD_CLOSE_POLICY_H_
