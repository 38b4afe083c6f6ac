#ifndef GRPCFD_MAPPING_H_
#define GRPCFD_MAPPING_H_

#include <node_api.h>

#include <atomic>
#include <cstddef>
#include <memory>

#include "closers.h"

namespace grpcfd {

// Memory of a file as an ArrayBuffer. The memory and its addresses have different lifetimes:
//
// - Vacate unmaps the memory. JavaScript then has an empty ArrayBuffer.
// - The addresses stay reserved until nothing can refer to them any more. A read or a compression that still uses
//   them in another thread finds zeros there: neither a hole, which would kill the process, nor another mapping that was made
//   there in the meantime.
//
// To unmap much memory takes long, above all if that is its last use: 0.5 s for 4 GiB. A thread does it.
//
// Functions run on the thread of the environment unless their comment says otherwise.
class Mapping {
 public:
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  // A new ArrayBuffer over the first `length` bytes of `fd`, which is only borrowed. nullptr with an exception pending.
  static napi_value Map(napi_env env, int fd, size_t length, bool writable);

  // The mapping behind an ArrayBuffer of Map, or nullptr with an exception pending.
  static Mapping* Of(napi_env env, napi_value buffer);

  void Vacate();

  // Adds seals to the file of a writable mapping. Returns 0, and the mapping is a private one then: stores stay in it. Otherwise an errno, and
  // all is as it was, but for the rare case that the kernel has no memory to map it again: the mapping is vacated then.
  int Seal(int fd, int seals);
  bool is_vacated() const { return vacated_.load(); }

  void Retain() { references_++; }
  // Runs on any thread.
  void Release();

  // Takes steps of the mapping that no other thread has taken, and makes the kernel fill in the page table for them, until none is
  // left or the mapping is vacated. Runs on any thread, and on several at a time.
  void Populate();

 private:
  class Vacation;

  Mapping(void* address, size_t length, std::shared_ptr<Closers> closers);
  ~Mapping();

  // Runs on any thread.
  void Unmap();

  void* const address_;
  const size_t length_;
  const std::shared_ptr<Closers> closers_;
  std::atomic<int> references_{1};
  // It is unknown what is mapped at the addresses: never touch them again.
  bool abandoned_ = false;
  std::atomic<bool> vacated_{false};
  std::atomic<size_t> populated_{0};
};

}  // namespace grpcfd

#endif  // GRPCFD_MAPPING_H_
